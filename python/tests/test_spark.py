"""The foreachBatch wrapper, without Spark."""

from __future__ import annotations

from typing import Any, Callable

import pytest

import milepost
from milepost.spark import Output, foreach_batch, outputs

NAME = "stream"


class Outputs(list[str]):
    def write(self, _: Any, output: Output) -> None:
        self.append(output.name)


def test_each_output_has_a_name_that_the_checkpoint_lists() -> None:
    written = Outputs()
    for session in range(2):
        with milepost.open(NAME) as job:
            process = foreach_batch(job, written.write)
            for batch in range(session * 3, session * 3 + 3):
                process(None, batch)
            assert [output.name for output in outputs(job)] == written
    assert written[0] == "batch-000000000000-e1-v1"
    newest = milepost.get(NAME)
    assert [output.name for output in outputs(newest)] == written
    assert len(newest.state["spark_outputs"]) == 2, "one entry for each run"


def test_an_unlisted_output_does_not_count_and_is_written_again_under_another_name() -> None:
    written = Outputs()

    def dies(df: Any, output: Output) -> None:
        written.write(df, output)
        raise RuntimeError("between output and checkpoint")

    with pytest.raises(RuntimeError), milepost.open(NAME) as job:
        foreach_batch(job, dies)(None, 0)
    with milepost.open(NAME) as job:
        foreach_batch(job, written.write)(None, 0)
    assert len(set(written)) == 2
    assert [output.name for output in outputs(milepost.get(NAME))] == written[1:]


def test_a_batch_that_spark_repeats_is_skipped() -> None:
    written = Outputs()
    with milepost.open(NAME) as job:
        foreach_batch(job, written.write)(None, 0)
    with milepost.open(NAME) as job:
        foreach_batch(job, written.write)(None, 0)
        foreach_batch(job, written.write)(None, 1)
    assert [name[:18] for name in written] == ["batch-000000000000", "batch-000000000001"]


@pytest.mark.parametrize("batch", [0, 1, 4, 9])
def test_a_batch_that_cannot_follow_is_refused(batch: int) -> None:
    written = Outputs()
    with milepost.open(NAME) as job:
        process = foreach_batch(job, written.write)
        for done in range(3):
            process(None, done)
        with pytest.raises(milepost.Refused, match="checkpointLocation"):
            process(None, batch)
    assert len(written) == 3


class Frame:
    """A stand-in for a DataFrame that only knows its stream's id."""

    def __init__(self, stream: str) -> None:
        self.sparkSession = self
        self.sparkContext = self
        self.getLocalProperty: Callable[[str], str] = {"sql.streaming.queryId": stream}.__getitem__


def test_another_stream_is_refused_even_where_its_number_would_fit() -> None:
    written = Outputs()
    with milepost.open(NAME) as job:
        foreach_batch(job, written.write)(Frame("one"), 0)
    with milepost.open(NAME) as job, pytest.raises(milepost.Refused, match="stream"):
        foreach_batch(job, written.write)(Frame("two"), 1)
    assert len(written) == 1


def test_a_driver_that_has_lost_its_lease_writes_nothing(milepost_command: Callable[..., Any]) -> None:
    written = Outputs()
    job = milepost.open(NAME)
    process = foreach_batch(job, written.write)
    process(None, 0)
    milepost_command("lease", "break", NAME, "--reason", "test", "--now", "--execute")
    with pytest.raises(milepost.LeaseLost):
        process(None, 1)
        process(None, 2)
    with pytest.raises(milepost.LeaseLost):
        job.close()
    assert [output.batch for output in outputs(milepost.get(NAME))] == [0]


def test_a_checkpoint_of_another_kind_is_not_taken_for_a_stream() -> None:
    with milepost.open(NAME) as job:
        job.mark("ord-1")
        with pytest.raises(milepost.UsageError, match="separate checkpoint"):
            foreach_batch(job, lambda *_: None)
