"""CheckpointManager, used by jobs that know nothing of leases."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Callable

import boto3
import pytest

import milepost
from conftest import Script

NAME = "my-job/checkpoints"
FILLER = random.Random(1).randbytes(50_000).hex()  # compression cannot make it small


@pytest.fixture
def manager() -> Any:
    made = new()
    yield made
    made.close()


def new(**options: Any) -> milepost.CheckpointManager:
    return milepost.CheckpointManager("bucket", NAME, import_old=False, **{"archive": "none", **options})


def save(manager: milepost.CheckpointManager, id: Any, count: int, **more: Any) -> bool:
    return manager.save_checkpoint({"last_processed_id": id, "records_processed": count, **more})


def test_nothing_saved_is_none_and_what_was_saved_comes_back(manager: milepost.CheckpointManager) -> None:
    assert manager.load_latest_checkpoint() is None
    data = {
        "last_processed_id": "record-123",
        "timestamp": "2024-04-07T10:00:00Z",
        "batch_statistics": {"processed_records": 1000, "failed_records": 5},
        "custom_state": {"current_aggregation": 42.0},
    }
    assert manager.save_checkpoint(data) is True
    assert manager.load_latest_checkpoint() == data
    manager.close()
    assert new().load_latest_checkpoint() == data
    newest = milepost.get(NAME)
    assert (newest.cursor, newest.processed, newest.failed) == ("record-123", 1000, 5)


def test_counts_of_a_run_are_added_to_those_before_it(manager: milepost.CheckpointManager) -> None:
    manager.load_latest_checkpoint()
    save(manager, "r-1000", 1000)
    save(manager, "r-2000", 2000)
    save(manager, "r-2000", 2000)
    manager.close()
    second = new()
    second.load_latest_checkpoint()
    save(second, "r-3000", 1000)
    assert milepost.get(NAME).processed == 3000
    second.load_latest_checkpoint()  # the same process begins another run
    save(second, "r-3500", 500)
    save(second, "r-3600", 100)  # and another, without a load
    assert milepost.get(NAME).processed == 3600
    second.close()


@pytest.mark.parametrize(
    ("newest", "older"),
    [("record-1000", "record-999"), ("record-1000", None), (1000, 999), ("2024-04-07T10:00:00Z", "2024-04-07T09:59:59Z")],
)
def test_an_error_with_an_older_id_keeps_the_newest_and_adds_the_error(manager: milepost.CheckpointManager, newest: Any, older: Any) -> None:
    save(manager, newest, 1000, custom_state={"sum": 7})
    assert save(manager, older, 1400, error="no route to host")
    assert manager.load_latest_checkpoint() == {
        "last_processed_id": newest,
        "records_processed": 1000,
        "custom_state": {"sum": 7},
        "error": "no route to host",
    }
    manager.close()
    saved = milepost.get(NAME)
    assert (saved.cursor, saved.processed) == (str(newest), 1000)
    assert (saved.ended, saved.last_error) == ("error", "no route to host")


def test_an_error_with_the_id_at_which_the_run_began_counts_as_older(manager: milepost.CheckpointManager) -> None:
    save(manager, "f3a1", 1)
    manager.close()
    second = new()
    loaded = second.load_latest_checkpoint()
    assert loaded is not None
    save(second, "04bc", 1)
    save(second, loaded["last_processed_id"], 2, error="broken")
    second.close()
    assert (milepost.get(NAME).cursor, milepost.get(NAME).processed) == ("04bc", 2)


def test_an_error_with_a_newer_id_moves_on(manager: milepost.CheckpointManager) -> None:
    save(manager, "r-1", 1)
    save(manager, "r-2", 2, error="broken")
    manager.close()
    saved = milepost.get(NAME)
    assert (saved.cursor, saved.processed, saved.last_error) == ("r-2", 2, "broken")


def test_an_error_before_anything_was_saved_starts_from_zero_again(manager: milepost.CheckpointManager) -> None:
    assert manager.load_latest_checkpoint() is None
    save(manager, None, 300, error="broken")
    manager.close()
    loaded = new().load_latest_checkpoint()
    assert loaded is not None
    assert loaded["last_processed_id"] is None
    assert (milepost.get(NAME).cursor, milepost.get(NAME).processed) == (None, 0)


def test_a_cursor_that_an_operator_has_set_is_the_one_that_is_loaded(manager: milepost.CheckpointManager, milepost_command: Callable[..., Any]) -> None:
    save(manager, 1000, 1000, custom_state={"sum": 7})
    manager.close()
    milepost_command("set", NAME, "--cursor", "500", "--execute")
    loaded = new().load_latest_checkpoint()
    assert loaded is not None
    assert loaded["last_processed_id"] == 500


def test_errors_that_end_a_job_are_raised(manager: milepost.CheckpointManager, milepost_command: Callable[..., Any]) -> None:
    save(manager, "r-1", 1)
    with pytest.raises(milepost.LeaseHeld):
        new().load_latest_checkpoint()
    with pytest.raises(milepost.LeaseHeld):
        save(new(), "r-2", 1)
    with pytest.raises(milepost.UsageError):
        manager.save_checkpoint({"last_processed_id": "r-2", "custom_state": object()})
    milepost_command("lease", "break", NAME, "--reason", "test", "--now", "--execute")
    with pytest.raises(milepost.LeaseLost):
        save(manager, "r-2", 2)
    with pytest.raises(milepost.LeaseLost):
        manager.close()


def test_the_same_prefix_in_another_bucket_is_refused(manager: milepost.CheckpointManager) -> None:
    save(manager, "r-1", 1)
    manager.close()
    with pytest.raises(milepost.Refused):
        milepost.CheckpointManager("other", NAME, import_old=False, archive="none").load_latest_checkpoint()


def test_a_load_that_fails_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a database, and long enough to be seen as none " * 100)
    monkeypatch.setenv("MILEPOST_STORE", f"sqlite:{tmp_path / 'file'}")
    with pytest.raises(milepost.MilepostError):
        new().load_latest_checkpoint()


EXITS = """
import sys, milepost
manager = milepost.CheckpointManager("bucket", "my-job/checkpoints", import_old=False, archive="none")
manager.save_checkpoint({"last_processed_id": "r-1", "records_processed": 1})
"""


@pytest.mark.parametrize(
    ("end", "ended", "error"),
    [
        ("", "done", ""),
        ("raise ValueError('broken')", "error", "ValueError: broken"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "error", "client"),
    ],
)
def test_the_lease_ends_with_the_process(
    end: str, ended: str, error: str, script: Callable[..., Script], write_script: Callable[[str], Path], milepost_command: Callable[..., Any]
) -> None:
    script(write_script(EXITS + end)).end()
    deadline = time.monotonic() + 60
    while milepost_command("lease", "show", NAME)["status"] != "free":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    newest = milepost.get(NAME)
    assert newest.ended == ended
    assert error in newest.last_error


def put_old(bucket: str, second: int, body: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{NAME}/checkpoint_{1712484000 + second}.json", Body=body.encode())


def test_old_objects_are_imported_on_first_use_in_the_order_of_the_times_in_their_names(bucket: str) -> None:
    for second in (2, 0, 1):
        put_old(bucket, second, f'{{"last_processed_id": "r-{second}000", "records_processed": {second}000, "custom_state": {{"sum": 1.5}}}}')
    manager = milepost.CheckpointManager(bucket, NAME)
    assert manager.load_latest_checkpoint() == {"last_processed_id": "r-2000", "records_processed": 2000, "custom_state": {"sum": 1.5}}
    save(manager, "r-2500", 500)
    manager.close()
    put_old(bucket, 100, '{"last_processed_id": "r-9", "records_processed": 9}')
    again = milepost.CheckpointManager(bucket, NAME)
    loaded = again.load_latest_checkpoint()
    assert loaded is not None
    assert loaded["last_processed_id"] == "r-2500", "an object written there later is not imported"
    again.close()


def test_an_unreadable_newest_old_object_is_an_error_not_a_start_from_zero(bucket: str) -> None:
    put_old(bucket, 0, '{"last_processed_id": "r-5"}')
    put_old(bucket, 1, "{")
    for _ in range(2):
        with pytest.raises(milepost.MilepostError, match=r"checkpoint_1712484001.json.*import_old=False"):
            milepost.CheckpointManager(bucket, NAME).load_latest_checkpoint()
        with pytest.raises(milepost.MilepostError):
            milepost.CheckpointManager(bucket, NAME).save_checkpoint({"last_processed_id": "r-6"})


def test_without_old_objects_the_first_run_starts_from_zero(bucket: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{NAME}/other.txt", Body=b"")
    manager = milepost.CheckpointManager(bucket, NAME)
    assert manager.load_latest_checkpoint() is None
    manager.close()


def test_an_unreachable_bucket_is_an_error_not_a_start_from_zero(bucket: str) -> None:
    assert bucket
    with pytest.raises(milepost.MilepostError, match="no-such-bucket-here"):
        milepost.CheckpointManager("no-such-bucket-here", NAME).load_latest_checkpoint()


def test_the_bucket_is_the_archive(bucket: str) -> None:
    manager = milepost.CheckpointManager(bucket, NAME)
    save(manager, "r-1", 1, custom_state={"filler": FILLER})
    manager.close()
    keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=NAME)["Contents"]]
    assert any(key.startswith(f"{NAME}/body/") for key in keys), keys
    assert any(key.startswith(f"{NAME}/v/") for key in keys), keys
    again = milepost.CheckpointManager(bucket, NAME)
    loaded = again.load_latest_checkpoint()
    assert loaded is not None
    assert loaded["custom_state"] == {"filler": FILLER}
    again.close()
