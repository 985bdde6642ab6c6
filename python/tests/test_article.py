"""A job for a home-made manager, ported by changing its import, compared with the original."""

from __future__ import annotations

import difflib
import random
import sys
import time
from pathlib import Path
from typing import Callable

import pytest

import milepost
from conftest import JOBS, Script

sys.path.insert(0, str(JOBS))
from homemade import CheckpointManager
from sink import Sink, result

LINE = 27  # bytes
MOST_BEFORE_A_KILL = 2_200  # records: at most two saves
RECORDS = 24_000  # more than ten runs get done
PREFIX = "my-job/checkpoints"

Start = Callable[..., Script]


@pytest.fixture
def ported(tmp_path: Path) -> Path:
    """article.py with its import replaced."""
    path = tmp_path / "ported.py"
    path.write_text((JOBS / "article.py").read_text().replace("from homemade import", "from milepost import"))
    return path


def uninterrupted(tmp_path: Path) -> dict[str, str]:
    sink = Sink(str(tmp_path / "uninterrupted"))
    for record in sink.records(RECORDS):
        sink.process(record)
    return result(str(tmp_path / "uninterrupted"))


def kill_at_work(job: Script, output: Path, records: int) -> None:
    """Kills the job once it has processed that many records."""
    size = output.stat().st_size if output.exists() else 0
    goal = size + records * LINE
    while not output.exists() or output.stat().st_size < goal:
        assert job.process.poll() is None, f"it ended before it was killed: {job.end()}"
        time.sleep(0.001)
    job.kill()


def test_only_the_import_of_the_job_changes(ported: Path) -> None:
    before, after = (JOBS / "article.py").read_text().splitlines(), ported.read_text().splitlines()
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert changed == ["- from homemade import CheckpointManager", "+ from milepost import CheckpointManager"]


def test_after_ten_random_kills_the_output_is_complete_and_the_counts_are_exact(
    ported: Path, tmp_path: Path, bucket: str, script: Start, chance: random.Random
) -> None:
    output = tmp_path / "output"
    arguments = (bucket, PREFIX, str(RECORDS), str(output))
    for _ in range(10):
        kill_at_work(script(ported, *arguments), output, chance.randrange(1, MOST_BEFORE_A_KILL))
    script(ported, *arguments).ends_well()

    assert result(str(output)) == uninterrupted(tmp_path)
    newest = milepost.get(PREFIX)
    assert (newest.cursor, newest.processed, newest.failed) == (f"record-{RECORDS:06d}", RECORDS, 0)
    assert newest.ended == "done"


def test_the_home_made_manager_loses_counts_under_such_kills(tmp_path: Path, bucket: str, script: Start) -> None:
    output = tmp_path / "output"
    arguments = (bucket, PREFIX, str(RECORDS), str(output))
    kill_at_work(script(JOBS / "article.py", *arguments), output, 1_500)  # it saves after 1,000
    script(JOBS / "article.py", *arguments).ends_well()

    assert result(str(output)) == uninterrupted(tmp_path)
    newest = CheckpointManager(bucket, PREFIX).load_latest_checkpoint()
    assert newest is not None
    assert newest["records_processed"] < RECORDS, "it keeps only the last run's count"


def test_a_run_that_fails_keeps_what_it_has_saved_and_adds_its_error(ported: Path, tmp_path: Path, bucket: str, script: Start) -> None:
    output = tmp_path / "output"
    arguments = (bucket, PREFIX, "4000", str(output))
    code, _, err = script(ported, *arguments, "3500").end()
    assert (code, "ValueError: record-003500 is broken" in err) == (1, True), err

    failed = milepost.get(PREFIX)
    assert (failed.cursor, failed.processed) == ("record-003000", 3000)
    assert (failed.ended, failed.last_error) == ("error", "record-003500 is broken")
    script(ported, *arguments).ends_well()
    newest = milepost.get(PREFIX)
    assert (newest.cursor, newest.processed, newest.last_error) == ("record-004000", 4000, "")


def test_the_home_made_manager_loses_what_a_failed_run_had_saved(tmp_path: Path, bucket: str, script: Start) -> None:
    for prefix in ("first", "second", "third"):  # repeat if two of its objects are of the same second: it may load either
        code, _, _ = script(JOBS / "article.py", bucket, prefix, "4000", str(tmp_path / prefix), "3500").end()
        assert code == 1
        manager = CheckpointManager(bucket, prefix)
        times = [found["LastModified"] for found in manager.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
        if len(set(times)) == len(times):
            break
    newest = manager.load_latest_checkpoint()
    assert newest is not None
    assert newest["last_processed_id"] is None


def test_as_milepost_open_the_job_is_shorter_and_loses_nothing_either(tmp_path: Path, script: Start, chance: random.Random) -> None:
    output = tmp_path / "output"
    for _ in range(10):
        kill_at_work(script(JOBS / "opened.py", "orders", str(RECORDS), str(output)), output, chance.randrange(1, MOST_BEFORE_A_KILL))
    script(JOBS / "opened.py", "orders", str(RECORDS), str(output)).ends_well()

    assert result(str(output)) == uninterrupted(tmp_path)
    newest = milepost.get("orders")
    assert (newest.cursor, newest.processed, newest.failed) == (f"record-{RECORDS:06d}", RECORDS, 0)
    assert length("article.py") - length("opened.py") >= 10


def length(job: str) -> int:
    """Lines of the function that does the work."""
    text = (JOBS / job).read_text()
    body = text[text.index("def process_data_with_checkpointing") : text.index("if __name__")]
    return sum(1 for line in body.splitlines() if line.strip())


def test_a_second_run_gets_an_error_that_names_the_holder_while_the_first_goes_on(ported: Path, tmp_path: Path, bucket: str, script: Start) -> None:
    output = tmp_path / "output"
    first = script(ported, bucket, PREFIX, "1000000", str(output))
    while not output.exists() or output.stat().st_size == 0:
        assert first.process.poll() is None, first.end()
        time.sleep(0.01)

    with pytest.raises(milepost.LeaseHeld) as held:
        milepost.CheckpointManager(bucket, PREFIX).load_latest_checkpoint()
    assert held.value.holder.id
    assert held.value.until is not None

    with pytest.raises(milepost.LeaseHeld):
        milepost.open(PREFIX)
    assert first.process.poll() is None, "the first run goes on"
