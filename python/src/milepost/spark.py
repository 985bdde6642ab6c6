"""Spark micro-batches whose output and checkpoint agree.

Only the driver holds the lease. A batch's output gets a name that no other attempt has, and the
checkpoint that is saved after the output lists that name. A driver that died or lost its lease
after it wrote an output did not list it. That output is in no list, and the batch is written again
under another name. A batch that is in the list is skipped when Spark repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Callable, NamedTuple

from .errors import Refused, UsageError
from .job import Job
from .records import Checkpoint

__all__ = ["Output", "foreach_batch", "outputs"]

_OUTPUTS, _STREAM = "spark_outputs", "spark_stream"


class Output(NamedTuple):
    """The output of one micro-batch, as one attempt writes it."""

    batch: int
    epoch: int
    version: int

    @property
    def name(self) -> str:
        """A name that no other attempt has, such as ``batch-000000000007-e3-v120``, for a
        directory, a file or a column.
        """
        return f"batch-{self.batch:012d}-e{self.epoch}-v{self.version}"


def foreach_batch(job: Job, write: Callable[[Any, Output], object]) -> Callable[[Any, int], None]:
    """Returns a function for ``DataStreamWriter.foreachBatch``, to run on the driver.

    ``write(df, output)`` writes the batch under ``output.name``, replacing anything of that name.
    When it has returned, the checkpoint is saved, with the batch as its cursor. Readers of the
    output read only what :func:`outputs` lists.

    The stream keeps its own ``checkpointLocation``, the same one on each run. Another location is
    refused, since its batches are others. A job serves one stream, and its state belongs to this
    function. An exception in the function ends the query with a StreamingQueryException;
    ``job.lost`` tells whether it was the loss of the lease.
    """
    if job.cursor is not None and not _ranges(job.state):
        raise UsageError(f"{job.name} is at {job.cursor!r} and has no Spark batches: use a separate checkpoint for the stream")

    def process(df: Any, batch: int) -> None:
        job.flush()  # raises if the lease is lost, before anything is written
        state = job.state if isinstance(job.state, Mapping) else {}
        stream, before = _stream(df), state.get(_STREAM)
        if stream and before and stream != before:
            raise _refused(job, "stream", before, stream)
        if job.cursor is not None:
            done = int(job.cursor)
            if batch == done:
                return  # Spark died before it could note that the batch was done
            if batch != done + 1:
                raise _refused(job, "batch", str(done + 1), str(batch))
        output = Output(batch, job.epoch, job.version + 1)
        write(df, output)
        job.save({_OUTPUTS: _with(_ranges(state), output), _STREAM: stream or before}, cursor=batch)

    return process


def outputs(checkpoint: Job | Checkpoint) -> Iterator[Output]:
    """Yields the outputs that count, in the order of their batches, of a job or of what
    :func:`milepost.get` returns.
    """
    for first, last, epoch, version in _ranges(checkpoint.state):
        for batch in range(first, last + 1):
            yield Output(batch, epoch, version + batch - first)


# The list grows by one entry per run of the driver, not per batch: [first batch, last batch, epoch,
# first version].


def _ranges(state: Any) -> list[list[int]]:
    ranges = state.get(_OUTPUTS, []) if isinstance(state, Mapping) else []
    return [[int(number) for number in each] for each in ranges]


def _with(ranges: list[list[int]], output: Output) -> list[list[int]]:
    if ranges:
        first, last, epoch, version = ranges[-1]
        if output == (last + 1, epoch, version + last + 1 - first):
            return [*ranges[:-1], [first, output.batch, epoch, version]]
    return [*ranges, [output.batch, output.batch, output.epoch, output.version]]


def _stream(df: Any) -> str | None:
    """Returns the id of the stream, which is stored in its checkpointLocation; None if Spark does
    not say.
    """
    session = getattr(df, "sparkSession", None)
    if session is None:
        return None
    found = session.sparkContext.getLocalProperty("sql.streaming.queryId")
    return str(found) if found else None


def _refused(job: Job, what: str, have: str, want: str) -> Refused:
    return Refused(
        f"{job.name} must go on with {what} {have}, and Spark is at {want}: its checkpointLocation is not the last run's",
        {"namespace": job.namespace, "name": job.name, "what": what, "have": have, "want": want},
    )
