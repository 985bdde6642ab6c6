"""The end of the agent or of the job: kills, and programs that are not milepost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

import milepost
from conftest import Script

NAME = "orders/eu"


def test_kill_9_of_the_agent_is_a_clear_error_and_nothing_acknowledged_is_lost() -> None:
    job = milepost.open(NAME)
    job.mark("a", state={"n": 1})
    saved = job.flush()
    job.mark("b")
    os.kill(job._agent._process.pid, signal.SIGKILL)
    job._agent._process.wait()
    for call in (lambda: job.mark("c"), job.flush, lambda: job.save({"n": 2}), job.history):
        with pytest.raises(milepost.AgentGone, match=r"killed by signal 9.*Open the checkpoint again"):
            call()
    with pytest.raises(milepost.AgentGone):
        job.close()

    with milepost.open(NAME) as again:
        assert again.version >= saved
        assert again.cursor in ("a", "b")
        assert again.state == {"n": 1}
        again.mark("c")
    assert milepost.get(NAME).cursor == "c"


def test_kill_9_of_the_agent_in_the_middle_of_marks_loses_nothing_acknowledged() -> None:
    with pytest.raises(milepost.AgentGone), milepost.open(NAME, every=100) as job:
        for number in range(1, 1_000_000):
            job.mark(number, state={"sum": number * (number + 1) // 2})
            if number == 2_000:
                acknowledged = job.flush()
                os.kill(job._agent._process.pid, signal.SIGKILL)
    with milepost.open(NAME) as again:
        assert again.version >= acknowledged
        assert again.cursor is not None
        number = int(again.cursor)
        assert (again.processed, again.state) == (number, {"sum": number * (number + 1) // 2}), "cursor, count and state belong together"


MARKS = """
import os, time
import milepost
job = milepost.open("orders/eu", every=0, interval=0)
for number in range(1, 5001):
    job.mark(number, state={"n": number})
print(job._agent._process.pid, flush=True)
time.sleep(60)
"""


def test_kill_9_of_python_loses_no_mark_and_ends_the_agent(
    script: Callable[..., Script], write_script: Callable[[str], Path], milepost_command: Callable[..., Any]
) -> None:
    job = script(write_script(MARKS))
    assert job.process.stdout is not None
    agent = int(job.process.stdout.readline())
    job.process.kill()
    deadline = time.monotonic() + 60
    while alive(agent):
        assert time.monotonic() < deadline, "the agent still runs"
        time.sleep(0.005)
    assert milepost_command("lease", "show", NAME)["status"] == "free"
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.processed, newest.state) == ("5000", 5000, {"n": 5000})
    assert (newest.ended, "client" in newest.last_error) == ("error", True)


def alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return state not in ("", "Z")  # a zombie only waits for its parent


# Programs that are not milepost.

FAKE = """#!{python}
import json, sys, threading, time
def say(message):
    print(message if isinstance(message, str) else json.dumps(message, separators={separators}), flush=True)
def hello(request):
    say({{"id": request["id"], "result": {{"protocol": 1, "version": "fake", "max_line": 1000000}}}})
OPENED = {{"session": 1, "namespace": "default", "name": "orders/eu", "epoch": 1, "version": 0, "cursor": "",
          "processed": 0, "failed": 0, "holder": {{"id": "fake"}}}}
requests = (json.loads(line) for line in sys.stdin)
{body}
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the binary by one that runs the given body. A real agent's replies are compact."""

    def make(body: str, compact: bool = True) -> None:
        path = tmp_path / "fake-milepost"
        path.write_text(FAKE.format(python=sys.executable, separators=(",", ":") if compact else (", ", ": "), body=body))
        path.chmod(0o755)
        monkeypatch.setenv("MILEPOST_BIN", str(path))

    return make


def test_a_missing_binary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_BIN", "/nowhere/milepost")
    with pytest.raises(milepost.BinaryNotFound, match="MILEPOST_BIN names '/nowhere/milepost'"):
        milepost.open(NAME)
    monkeypatch.delenv("MILEPOST_BIN")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(milepost.BinaryNotFound, match="none on PATH"):
        milepost.open(NAME)


def test_a_binary_of_another_protocol_is_refused_with_both_numbers(fake: Callable[[str], None]) -> None:
    fake('for request in requests: say({"id": request["id"], "error": {"kind": "usage", "exit": 2, "error": "no such protocol", "protocols": [7, 8]}})')
    with pytest.raises(milepost.WrongBinary, match=r"speaks protocol \[7, 8\], and this package, milepost .*, speaks protocol 1"):
        milepost.open(NAME)


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit('unknown command: agent')",
        "say('usage: something else')",
        "say('[1, 2]')",
        "for request in requests: say(request)",
        "print('no line', end='', flush=True)",
    ],
    ids=["has no agent command", "other words", "other JSON", "echo", "half a line"],
)
def test_a_program_that_is_not_milepost_is_refused(fake: Callable[[str], None], body: str) -> None:
    fake(body)
    with pytest.raises(milepost.WrongBinary, match="fake-milepost is not a milepost binary that this package works with"):
        milepost.open(NAME)


def test_a_line_outside_the_protocol_ends_the_job_with_a_clear_error(fake: Callable[[str], None]) -> None:
    fake(
        """
for request in requests:
    if request["method"] == "hello": hello(request)
    elif request["method"] == "open": say({"id": request["id"], "result": OPENED})
    else: say('{"id": ' + "x" * 100000)
"""
    )
    job = milepost.open(NAME)
    with pytest.raises(milepost.ProtocolError, match="does not speak the agent protocol") as error:
        job.flush()
    assert len(str(error.value)) < 1000
    with pytest.raises(milepost.ProtocolError):
        job.mark("a")
    with pytest.raises(milepost.ProtocolError):
        job.close()


@pytest.mark.parametrize("reply", ['{"id":%d,"result":{"version":1}} {}', '{"id":%d,"result":{"version":1}', '{"id":%d,"version":1}'])
def test_an_invalid_reply_ends_the_job_with_a_clear_error(fake: Callable[[str], None], reply: str) -> None:
    fake(
        f"""
for request in requests:
    if request["method"] == "hello": hello(request)
    elif request["method"] == "open": say({{"id": request["id"], "result": OPENED}})
    else: say({reply!r} % request["id"])
"""
    )
    job = milepost.open(NAME)
    for call in (job.flush, lambda: job.mark("a"), job.close):
        with pytest.raises(milepost.ProtocolError, match="does not speak the agent protocol"):
            call()


def test_a_reply_nested_too_deeply_fails_its_call_and_the_job_goes_on(fake: Callable[[str], None]) -> None:
    fake(
        """
for request in requests:
    if request["method"] == "hello": hello(request)
    elif request["method"] == "open": say({"id": request["id"], "result": OPENED})
    elif request["method"] == "get": say('{"id":%d,"result":{"state":%s%s}}' % (request["id"], "[" * 1000000, "]" * 1000000))
    else: say({"id": request["id"], "result": {"version": 1}})
"""
    )
    with milepost.open(NAME) as job:
        with pytest.raises(milepost.MilepostError, match="nested too deeply"):
            job.get()
        assert job.flush() == 1


def test_half_a_reply_is_the_end_of_the_agent(fake: Callable[[str], None]) -> None:
    fake(
        """
for request in requests:
    if request["method"] == "hello": hello(request)
    elif request["method"] == "open": say({"id": request["id"], "result": OPENED})
    else: sys.stdout.write('{"id":%d,"result":{"ver' % request["id"]) and sys.exit(3)
"""
    )
    job = milepost.open(NAME)
    with pytest.raises(milepost.AgentGone, match="exited with 3"):
        job.flush()
    with pytest.raises(milepost.AgentGone):
        job.close()


@pytest.mark.parametrize("order", ["outer, inner", "inner, outer"])
def test_a_signal_handler_may_call_while_a_call_waits(fake: Callable[[str], None], order: str) -> None:
    fake(
        f"""
hello(next(requests))
say({{"id": next(requests)["id"], "result": OPENED}})
outer, inner = next(requests), next(requests)
for request in ({order}): say({{"id": request["id"], "result": {{"version": 8 if request is inner else 7}}}})
say({{"id": next(requests)["id"], "result": {{"version": 9}}}})
"""
    )
    inner = []
    job = milepost.open(NAME)
    before = signal.signal(signal.SIGALRM, lambda *_: inner.append(job.flush()))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        assert job.flush() == 7
    finally:
        signal.signal(signal.SIGALRM, before)
    assert inner == [8]
    job.close()
    assert job.version == 9


@pytest.mark.parametrize("compact", [True, False])
def test_late_replies_unknown_events_and_unknown_fields_are_harmless(fake: Callable[..., None], compact: bool) -> None:
    fake(
        """
hello(next(requests))
request = next(requests)
say({"event": "weather", "session": 1, "rain": True})
say({"id": 4711, "result": {}})
say({"id": request["id"], "result": dict(OPENED, colour="red"), "colour": "red"})
say({"event": "weather"})
late = next(requests)
for request in requests:
    if request["method"] == "flush":
        say({"id": request["id"], "result": {"version": 7}})
        say({"id": late["id"], "result": {"version": 6}})
    if request["method"] == "close":
        say({"id": request["id"], "error": {"kind": "gremlins", "exit": 1, "error": "a kind of a later release"}})
""",
        compact,
    )

    class Alarm(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Alarm

    job = milepost.open(NAME)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(Alarm):
            job.flush()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert job.flush() == 7, "the reply must not be the one to the interrupted flush"
    with pytest.raises(milepost.MilepostError, match="later release") as error:
        job.close()
    assert type(error.value) is milepost.MilepostError


def test_an_agent_that_reads_nothing_blocks_the_job_until_the_agent_ends(fake: Callable[[str], None]) -> None:
    fake(
        """
hello(next(requests))
request = next(requests)
say({"id": request["id"], "result": OPENED})
time.sleep(1)
sys.exit(3)
"""
    )
    job = milepost.open(NAME)
    with pytest.raises(milepost.AgentGone, match="exited with 3"):
        for number in range(1_000_000):
            job.mark(number)
    with pytest.raises(milepost.AgentGone):
        job.close()


def test_a_flood_of_events_does_not_block_a_job_that_writes(fake: Callable[[str], None]) -> None:
    fake(
        """
hello(next(requests))
request = next(requests)
say({"id": request["id"], "result": OPENED})
for request in requests:
    for _ in range(50): say({"event": "weather", "filler": "x" * 1000})
    if "id" in request: say({"id": request["id"], "result": {"version": 1}})
"""
    )
    with milepost.open(NAME) as job:
        for number in range(1_000):
            job.mark(number, state={"filler": "x" * 1000})


def test_bad_lines_written_by_hand_are_refused_and_the_job_goes_on() -> None:
    """The agent handles lines that this package never sends as docs/agent-protocol.md says."""
    with milepost.open(NAME) as job:
        job.mark("a")
        for line in ("nonsense\n", '{"id":9000,"method":"nonsense"}\n', '{"method":"mark","session":1,"cursor":7}\n'):
            job._agent.write(line)
        with pytest.raises(milepost.UsageError, match="unknown method"):
            job._call("nonsense", {})  # the agent answers it after the lines before it
        with pytest.raises(milepost.UsageError):
            job.flush()
        job.mark("b")
    assert (milepost.get(NAME).cursor, milepost.get(NAME).processed) == ("b", 2)
