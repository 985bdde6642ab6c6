"""milepost.open, and what a job can do."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

import milepost
from conftest import Script

Command = Callable[..., Any]
NAME = "orders/eu"


def test_a_job_resumes_where_the_last_one_stopped() -> None:
    with milepost.open(NAME) as job:
        assert (job.version, job.cursor, job.processed, job.state, job.resumed) == (0, None, 0, None, None)
        job.mark("ord-1", state={"sum": 1.5})
        job.mark("ord-2", processed=2, failed=1)
        assert (job.cursor, job.processed, job.failed, job.state) == ("ord-2", 3, 1, {"sum": 1.5})
    with milepost.open(NAME) as job:
        assert (job.cursor, job.processed, job.failed, job.state) == ("ord-2", 3, 1, {"sum": 1.5})
        assert job.epoch == 2
        assert job.resumed is not None
        assert job.resumed.ended == "done"


def test_a_job_declares_what_is_expected_of_it() -> None:
    with milepost.open(NAME, holder="nightly", expect_every=86400, expect_grace=0.5):
        pass
    expect = [milepost.binary.find(), "expect", NAME, "-o", "json"]
    expected = json.loads(subprocess.run(expect, check=True, stdout=subprocess.PIPE).stdout)
    assert (expected["every_ms"], expected["grace_ms"], expected["set_by"]) == (86_400_000, 500, "job nightly")
    with pytest.raises(milepost.UsageError, match="expect_every_ms"):
        milepost.open(NAME, expect_grace=60)


@pytest.mark.parametrize("cursor", ["a", "ä\u2028\U0001f600", '"quoted\\"', "{}", 12345678901234567890, 0, -7])
def test_a_cursor_is_saved_as_it_was_marked(cursor: str | int) -> None:
    with milepost.open(NAME) as job:
        job.mark(cursor)
        job.flush()
        assert job.cursor == str(cursor)
        assert job.get().cursor == str(cursor)
        job.mark(cursor, processed=2)
        job.flush()
        assert job.get().cursor == str(cursor)
        assert job.get().processed == 3


def test_a_mark_counts_one_processed_record_unless_counts_are_given() -> None:
    with milepost.open(NAME) as job:
        job.mark(1)
        job.mark(2, failed=1)
        job.mark(3, processed=0)
    newest = milepost.get(NAME)
    assert (newest.processed, newest.failed, newest.cursor) == (1, 1, "3")


def test_a_save_is_durable_when_it_returns() -> None:
    with milepost.open(NAME) as job:
        job.mark("a")
        version = job.save({"n": 1})
        saved = milepost.get(NAME)
        assert (saved.version, saved.cursor, saved.state, saved.processed) == (version, "a", {"n": 1}, 1)
        version = job.save(cursor="b", processed=10)
        saved = milepost.get(NAME)
        assert (saved.version, saved.cursor, saved.state, saved.processed) == (version, "b", {"n": 1}, 11)
        assert job.flush() == version
        job.mark("c")
        assert job.flush() == version + 1


def test_null_is_a_state_and_no_state_is_none() -> None:
    with milepost.open(NAME) as job:
        job.save({"n": 1}, cursor=1)
        job.save(None)
    assert milepost.get(NAME).state is None
    assert "state" in milepost.get(NAME).raw


@pytest.mark.parametrize("state", [{}, [], "", 0, 12.5, True, {"ä": "\u2028\n\U0001f600", "deep": [[[{"n": 2**70}]]]}])
def test_a_state_comes_back_as_it_was(state: Any) -> None:
    with milepost.open(NAME) as job:
        job.mark(1, state=state)
    with milepost.open(NAME) as job:
        assert job.state == state


def test_an_exception_saves_all_marks_and_is_raised_unchanged() -> None:
    own = KeyError("no such order")
    with pytest.raises(KeyError) as raised, milepost.open(NAME, every=0, interval=0) as job:
        job.mark("ord-1", state={"n": 1})
        job.mark("ord-2", state={"n": 2})
        raise own
    assert raised.value is own
    assert own.__context__ is None
    assert own.__cause__ is None
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.state, newest.ended, newest.last_error) == ("ord-2", {"n": 2}, "error", "KeyError: 'no such order'")


@pytest.mark.parametrize(
    ("left_by", "ended"),
    [(SystemExit(0), "done"), (SystemExit(None), "done"), (SystemExit(3), "error"), (KeyboardInterrupt(), "stopped"), (GeneratorExit(), "stopped")],
)
def test_how_a_job_was_left_is_in_its_last_version(left_by: BaseException, ended: str) -> None:
    with pytest.raises(type(left_by)), milepost.open(NAME) as job:
        job.mark(1)
        raise left_by
    assert milepost.get(NAME).ended == ended


def test_a_long_error_is_cut_and_invalid_text_is_kept() -> None:
    with pytest.raises(ValueError, match="é"), milepost.open(NAME) as job:
        job.mark(1)
        raise ValueError("é\ud800" * 2000)
    assert milepost.get(NAME).last_error.startswith("ValueError: é?é?")


def test_a_second_job_gets_an_error_that_names_the_holder() -> None:
    with milepost.open(NAME, holder="nightly", run_id="run-7"):
        with pytest.raises(milepost.LeaseHeld) as held:
            milepost.open(NAME)
        assert (held.value.holder.id, held.value.holder.run_id) == ("nightly", "run-7")
        assert (held.value.name, held.value.epoch, held.value.exit_code) == (NAME, 1, 5)
        assert held.value.since is not None
        copy = pickle.loads(pickle.dumps(held.value))
        assert (copy.holder, str(copy)) == (held.value.holder, str(held.value))


def test_a_waiting_job_learns_the_holder_and_then_gets_the_lease() -> None:
    first = milepost.open(NAME, holder="first")
    waits = threading.Event()
    seen: list[milepost.LeaseHeld] = []

    def on_wait(held: milepost.LeaseHeld) -> None:
        seen.append(held)
        waits.set()

    def close_then() -> None:
        assert waits.wait(60)
        first.close()

    closer = threading.Thread(target=close_then)
    closer.start()
    with milepost.open(NAME, wait=60, on_wait=on_wait) as second:
        assert second.epoch == 2
    closer.join()
    assert [held.holder.id for held in seen] == ["first"]


def test_a_handoff_is_seen_by_the_holder_that_agreed_to_it() -> None:
    def hand_over() -> None:
        with milepost.open(NAME, yields=True, duration=10) as first:
            opened.set()
            while first.handoff_wanted is None:
                first.mark(1)
                time.sleep(0.01)
            first.close(ended="yielded")

    opened = threading.Event()
    holder = threading.Thread(target=hand_over)
    holder.start()
    assert opened.wait(60)
    with milepost.open(NAME, wait=60, take_over=True) as second:
        assert second.cursor == "1"
        assert second.resumed is not None
        assert second.resumed.ended == "yielded"
    holder.join()


def steal(command: Command) -> None:
    command("lease", "break", NAME, "--reason", "test", "--now", "--execute")


def lose(job: milepost.Job, command: Command) -> None:
    steal(command)
    deadline = time.monotonic() + 60
    while job.lost is None:
        assert time.monotonic() < deadline, "the loss was not noticed"
        time.sleep(0.01)


def test_a_lost_lease_can_be_read_and_raises_at_the_next_call(milepost_command: Command) -> None:
    job = milepost.open(NAME, duration=10)
    job.mark("a")
    job.flush()
    assert job.lost is None
    lose(job, milepost_command)
    assert job.lost is not None
    assert job.lost.reason == "stolen"
    calls: list[Callable[[], object]] = [
        lambda: job.mark("b"),
        lambda: job.save({"n": 1}),
        job.flush,
        lambda: list(job.remaining(["b"])),
        job.rollback,
    ]
    for call in calls:
        with pytest.raises(milepost.LeaseLost) as lost:
            call()
        assert (lost.value.reason, lost.value.exit_code) == ("stolen", 7)
    assert [version.cursor for version in job.history()] == ["a"], "reading the history needs no lease"
    with pytest.raises(milepost.LeaseLost):
        job.close()
    assert milepost.get(NAME).cursor == "a"


def test_the_loss_of_the_lease_does_not_hide_the_jobs_own_exception(milepost_command: Command) -> None:
    own = RuntimeError("the disk is full")
    with pytest.raises(RuntimeError) as raised, milepost.open(NAME, duration=10) as job:
        job.mark("a")
        lose(job, milepost_command)
        raise own
    assert raised.value is own


def test_leaving_after_the_loss_of_the_lease_raises_it(milepost_command: Command) -> None:
    with pytest.raises(milepost.LeaseLost), milepost.open(NAME, duration=10) as job:
        job.mark("a")
        lose(job, milepost_command)


def test_another_identity_is_refused() -> None:
    with milepost.open(NAME, identity="input-1") as job:
        job.mark(1)
    with pytest.raises(milepost.Refused) as refused:
        milepost.open(NAME, identity="input-2")
    assert (refused.value.what, refused.value.have, refused.value.want) == ("identity", "input-1", "input-2")


def test_a_state_of_a_lower_schema_is_migrated_by_the_job() -> None:
    with milepost.open(NAME, schema=1) as job:
        job.mark(1, state={"total": 3})
    with pytest.raises(milepost.Refused):
        milepost.open(NAME, schema=2)
    with milepost.open(NAME, schema=2, migrate=lambda schema, state: {"sum": state["total"], "from": schema}) as job:
        assert job.state == {"sum": 3, "from": 1}


def test_a_migration_that_fails_raises_its_own_exception_and_changes_nothing() -> None:
    with milepost.open(NAME, schema=1) as job:
        job.mark(1, state={"total": 3})

    def broken(_: int, state: Any) -> Any:
        return state["sum"]

    with pytest.raises(KeyError):
        milepost.open(NAME, schema=2, migrate=broken)
    assert milepost.get(NAME).state == {"total": 3}


def test_history_is_newest_first_and_goes_on_past_a_page() -> None:
    with milepost.open(NAME) as job:
        for number in range(1, 6):
            job.save({"n": number}, cursor=number)
        assert [version.cursor for version in job.history(limit=3)] == ["5", "4", "3"]
        assert [version.version for version in job.history()] == [5, 4, 3, 2, 1]
        assert job.get(2).state == {"n": 2}
        assert job.get().version == 5
        with pytest.raises(milepost.NotFound):
            job.get(99)


def test_rollback_undoes_this_run_and_goes_on_from_there() -> None:
    with milepost.open(NAME) as job:
        job.save({"n": 1}, cursor="a", processed=1)
    with milepost.open(NAME) as job:
        job.save({"n": 2}, cursor="b", processed=5)
        job.mark("c", state={"n": 3})
        job.rollback(reason="wrong input")
        assert (job.cursor, job.processed, job.state) == ("a", 1, {"n": 1})
        job.mark("b")
        job.flush()
        job.rollback()
        assert job.cursor == "a", "this run still began there"
        first = job.history()[-1].version
        job.rollback(to=first)
        with pytest.raises(milepost.NotFound):
            job.rollback(to=1000)
        job.mark("b", processed=2)
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.processed) == ("b", 3)


def test_rollback_of_a_first_run_goes_back_to_the_beginning() -> None:
    with milepost.open(NAME) as job:
        job.save({"n": 1}, cursor="a")
        job.rollback()
        assert (job.cursor, job.processed, job.state) == (None, 0, None)


def test_a_job_cannot_be_pickled_but_its_epoch_can() -> None:
    with milepost.open(NAME) as job:
        with pytest.raises(TypeError, match="epoch"):
            pickle.dumps(job)
        assert pickle.loads(pickle.dumps(job.epoch)) == 1
    with pytest.raises(TypeError, match="driver"):
        pickle.dumps(milepost.CheckpointManager("bucket", "prefix"))


def test_a_closed_job_says_so_and_may_be_closed_again() -> None:
    job = milepost.open(NAME)
    job.close()
    job.close()
    for call in (lambda: job.mark(1), job.flush, job.history):
        with pytest.raises(milepost.UsageError, match="closed"):
            call()


def test_marks_of_many_threads_are_all_counted() -> None:
    with milepost.open(NAME) as job:

        def mark() -> None:
            for number in range(2_000):
                job.mark(number)

        threads = [threading.Thread(target=mark) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert milepost.get(NAME).processed == 16_000


def test_marks_faster_than_the_store_wait_and_none_is_lost() -> None:
    with milepost.open(NAME, every=10, max_unsaved=10) as job:
        for number in range(5_000):
            job.mark(number, state={"n": number, "filler": "x" * 500})
    newest = milepost.get(NAME)
    assert (newest.processed, newest.cursor, newest.state["n"]) == (5_000, "4999", 4_999)


def test_a_signal_handler_may_save_while_the_job_marks() -> None:
    with milepost.open(NAME) as job:
        flushed: list[int] = []

        def flush(*_: object) -> None:
            flushed.append(job.flush())
            signal.setitimer(signal.ITIMER_REAL, 0.003)

        before = signal.signal(signal.SIGALRM, flush)
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        try:
            number = 0
            while len(flushed) < 50:
                number += 1
                job.mark(number, state={"n": number, "filler": "x" * (10_000 if number % 3 == 0 else 10)})
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    newest = milepost.get(NAME)
    assert (newest.processed, newest.state["n"]) == (number, number)


class Alarm(Exception):
    pass


def test_an_interrupt_in_the_middle_of_a_line_leaves_it_whole() -> None:
    def interrupt(*_: object) -> None:
        raise Alarm

    state = {"filler": "x" * 3_000_000}
    interrupts = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with milepost.open(NAME, every=1) as job:
            for number in range(20):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.012)
                    job.mark(number, state=state)
                except Alarm:
                    interrupts += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            job.mark("last", state={"n": 1})
            job.flush()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 0
    assert (milepost.get(NAME).cursor, milepost.get(NAME).state) == ("last", {"n": 1})


# Values that are refused.


def unencodable() -> Any:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "state", [object(), {1, 2}, float("nan"), {"a": float("inf")}, b"bytes", {"a": "\ud800"}, {(1, 2): 3}, "x" * (33 << 20), unencodable()],
    ids=["object", "set", "nan", "infinity", "bytes", "half a pair", "tuple key", "too long", "too deep"],
)  # fmt: skip
def test_a_state_that_is_not_json_is_a_clear_error_and_nothing_is_lost(state: Any) -> None:
    with milepost.open(NAME) as job:
        job.mark("a", state={"n": 1})
        for call in (lambda: job.mark("b", state=state), lambda: job.save(state, cursor="b")):
            with pytest.raises(milepost.UsageError) as error:
                call()
            assert len(str(error.value)) < 500
        assert (job.cursor, job.state) == ("a", {"n": 1})
        job.mark("c")
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.state, newest.processed) == ("c", {"n": 1}, 2)


@pytest.mark.parametrize("cursor", ["", 1.5, None, b"a", "\ud800", ["a"]])
def test_an_invalid_cursor_is_refused_at_once(cursor: Any) -> None:
    with milepost.open(NAME) as job:
        job.mark("a")
        with pytest.raises(milepost.UsageError):
            job.mark(cursor)
    assert milepost.get(NAME).cursor == "a"


@pytest.mark.parametrize("counts", [{"processed": -1}, {"failed": -1}])
def test_counts_are_not_negative(counts: dict[str, int]) -> None:
    with milepost.open(NAME) as job:
        with pytest.raises(milepost.UsageError):
            job.mark("a", **counts)
        with pytest.raises(milepost.UsageError):
            job.save(cursor="a", **counts)
        with pytest.raises(milepost.UsageError, match="cursor"):
            job.save(processed=1)


def test_integer_types_of_other_libraries_are_accepted() -> None:
    class Number:
        def __init__(self, value: int) -> None:
            self.value = value

        def __index__(self) -> int:
            return self.value

    with milepost.open(NAME) as job:
        job.mark(Number(7), processed=Number(3), failed=True)  # type: ignore[arg-type]
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.processed, newest.failed) == ("7", 3, 1)


def test_a_mark_that_the_agent_refuses_is_raised_by_the_next_call_and_the_job_goes_on() -> None:
    with milepost.open(NAME, order="integer") as job:
        job.mark(1)
        job.mark("x")
        with pytest.raises(milepost.UsageError, match="x"):
            for _ in range(1_000):
                job.flush()
        job.mark(2)
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.processed) == ("2", 2)


@pytest.mark.parametrize("name", ["", "a//b", "../x", "a\nb", "n" * 600])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(milepost.UsageError):
        milepost.open(name)


def test_a_bad_store_is_refused() -> None:
    with pytest.raises(milepost.UsageError, match="unknown kind of store"):
        milepost.open(NAME, store="redis://x")


# Other processes.

FORKS = """
import os, sys, time
import milepost
job = milepost.open("orders/eu")
job.mark("a")
if os.fork() == 0:
    try:
        job.mark("b")
    except milepost.AgentGone as error:
        print("child:", error, flush=True)
    time.sleep(60)
    os._exit(0)
time.sleep(60)
"""


def test_a_fork_cannot_use_the_job_and_does_not_keep_it_alive(
    script: Callable[..., Script], write_script: Callable[[str], Path], milepost_command: Command
) -> None:
    parent = script(write_script(FORKS))
    assert parent.process.stdout is not None
    said = parent.process.stdout.readline()
    assert "fork" in said
    parent.process.kill()
    deadline = time.monotonic() + 40
    while milepost_command("lease", "show", NAME)["status"] != "free":
        assert time.monotonic() < deadline, "the fork keeps the agent alive"
        time.sleep(0.05)
    assert milepost.get(NAME).cursor == "a"


def test_a_job_that_is_never_closed_is_saved_and_released_when_its_process_ends(
    script: Callable[..., Script], write_script: Callable[[str], Path], milepost_command: Command
) -> None:
    script(write_script("import milepost\njob = milepost.open('orders/eu')\njob.mark('a')\n")).ends_well()
    assert milepost_command("lease", "show", NAME)["status"] == "free"
    assert milepost.get(NAME).cursor == "a"


def test_the_command_prints_what_a_job_saved(milepost_command: Command) -> None:
    with milepost.open(NAME) as job:
        job.mark("a", state={"b": [1, 2.5]})
    printed = milepost_command("get", NAME)
    assert json.dumps(printed["state"]) == '{"b": [1, 2.5]}'
