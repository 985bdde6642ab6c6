"""Spark micro-batches whose output and checkpoint agree.

The driver alone holds the lease. A batch's output gets a name that no other attempt has, and the checkpoint that is saved
after it lists that name. An output that a driver wrote and could not list, because it died or had lost its
lease, is in no list, and the batch is written again under another name. A batch that is in the list is skipped
when Spark repeats it.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, NamedTuple

from .errors import Refused, UsageError
from .job import Job
from .records import Checkpoint

__all__ = ["Output", "foreach_batch", "outputs"]

_KEY = "spark_outputs"


class Output(NamedTuple):
    """The output of one micro-batch, as one attempt writes it."""

    batch: int
    epoch: int
    version: int

    @property
    def name(self) -> str:
        """A name for it that no other attempt has, such as ``batch-000000000007-e3-v120``: of a directory or file, or a value of a column."""
        return f"batch-{self.batch:012d}-e{self.epoch}-v{self.version}"


def foreach_batch(job: Job, write: Callable[[Any, Output], object]) -> Callable[[Any, int], None]:
    """A function for ``DataStreamWriter.foreachBatch``, on the driver.

    ``write(df, output)`` writes the batch under ``output.name``, replacing what is there by that name. When it has returned, the
    checkpoint is saved, with the batch as its cursor. Those who read the output take what :func:`outputs` lists.

    The stream keeps its own ``checkpointLocation``; give it the same one on each run. A job serves one stream,
    and its state is for this function. What is raised in it ends the query with a StreamingQueryException; ``job.lost`` tells
    whether that was the loss of the lease.
    """
    runs = _runs(job.state)
    if job.cursor is not None and not runs:
        raise UsageError(f"the checkpoint {job.name} stands at {job.cursor!r}, and is not one of Spark batches: use one of its own for the stream")

    def process(df: Any, batch: int) -> None:
        done = int(job.cursor) if job.cursor is not None else None
        if done is not None and batch <= done:
            return
        if done is not None and batch != done + 1:
            raise Refused(
                f"the stream is at batch {batch}, and {job.name} at {done}: the stream's checkpointLocation is not that of the run before",
                {"name": job.name, "what": "batch", "have": str(done), "want": str(batch)},
            )
        job.flush()  # raises if the lease is lost, before anything is written
        output = Output(batch, job.epoch, job.version + 1)
        write(df, output)
        grown = _with(runs, output)
        job.save({_KEY: grown}, cursor=batch)
        runs[:] = grown

    return process


def outputs(checkpoint: Job | Checkpoint) -> Iterator[Output]:
    """The outputs that count, in the order of their batches: of a job, or as :func:`milepost.get` gives its newest version."""
    for first, last, epoch, version in _runs(checkpoint.state):
        for batch in range(first, last + 1):
            yield Output(batch, epoch, version + batch - first)


# The list grows by one line a run of the driver, not by one a batch: [first batch, last batch, epoch, first version].
_Run = "list[int]"


def _runs(state: Any) -> list[list[int]]:
    runs = state.get(_KEY, []) if isinstance(state, Mapping) else []
    return [[int(number) for number in run] for run in runs]


def _with(runs: list[list[int]], output: Output) -> list[list[int]]:
    if runs:
        first, last, epoch, version = runs[-1]
        if output == (last + 1, epoch, version + last + 1 - first):
            return [*runs[:-1], [first, output.batch, epoch, version]]
    return [*runs, [output.batch, output.batch, output.epoch, output.version]]
