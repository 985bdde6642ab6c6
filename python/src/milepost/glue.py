"""AWS Glue: a checkpoint named after the job, and runs and retries that can be told apart.

args = getResolvedOptions(sys.argv, ["JOB_NAME"])
with milepost.glue.open(args) as job:
    ...
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import job as jobs
from .errors import UsageError

__all__ = ["DURATION", "WAIT", "Run", "open", "this_run"]

DURATION = 60.0
"""Seconds of the lease.

Glue promises no signal when it stops a job or the job's time is up: the lease then ends by itself.
"""
WAIT = 75.0
"""Seconds that a run waits for the lease: long enough for a retry to outlast the lease of an
attempt that was killed.
"""

_ATTEMPT = re.compile(r"(?P<run>.+?)_attempt_(?P<attempt>\d+)")


class Run(NamedTuple):
    """One attempt of one run of a Glue job."""

    job: str
    run: str
    attempt: int

    @property
    def holder(self) -> str:
        """The holder of the lease. Each attempt is a separate holder."""
        return f"{self.job}/{self.run_id}" if self.run else self.job

    @property
    def run_id(self) -> str:
        return f"{self.run}_attempt_{self.attempt}" if self.attempt else self.run


def this_run(args: Mapping[str, str] | None = None, argv: Sequence[str] | None = None) -> Run:
    """Returns which run this is, from the dict of ``getResolvedOptions`` or from Glue's arguments
    in ``sys.argv``.

    The dict wins. It always has JOB_RUN_ID; naming it among the options is an error in awsglue.
    A Python shell job may have neither awsglue nor these arguments; then pass the job's name.
    """
    given = _given(args, argv)
    run = given.get("JOB_RUN_ID", "")
    match = _ATTEMPT.fullmatch(run)
    if match is not None:
        return Run(given.get("JOB_NAME", ""), match["run"], int(match["attempt"]))
    return Run(given.get("JOB_NAME", ""), run, 0)


def open(args: Mapping[str, str] | None = None, *, name: str | None = None, **options: Any) -> jobs.Job:
    """Opens the checkpoint of this Glue job: :func:`milepost.open`, with the job's name, holder and
    run id.

    ``args`` is what ``getResolvedOptions`` returned. The job's parameters ``--milepost_store``,
    ``--milepost_archive`` and ``--milepost_namespace`` are taken from it, or from ``sys.argv``.
    ``options`` are the options of :func:`milepost.open`, and win over these.
    Raises UsageError if neither ``name`` nor Glue names the job.
    """
    run = this_run(args)
    name = name or run.job
    if not name:
        raise UsageError("the checkpoint has no name: Glue set no JOB_NAME here, so pass name=…")
    own: dict[str, Any] = {"duration": DURATION, "wait": WAIT, "holder": run.holder or name}
    if run.run:
        own["run_id"] = run.run_id
    given = _given(args, None)
    own.update({option: given[f"milepost_{option}"] for option in ("store", "archive", "namespace") if given.get(f"milepost_{option}")})
    return jobs.open(name, **{**own, **options})


def _given(args: Mapping[str, str] | None, argv: Sequence[str] | None) -> dict[str, str]:
    given = dict(_arguments(sys.argv[1:] if argv is None else argv))
    given.update({name: value for name, value in (args or {}).items() if isinstance(value, str)})
    return given


def _arguments(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the pairs of --NAME VALUE and --NAME=VALUE."""
    found = []
    for at, argument in enumerate(argv):
        if not argument.startswith("--"):
            continue
        name, given, value = argument[2:].partition("=")
        if not given and at + 1 < len(argv):
            value = argv[at + 1]
        found.append((name, value))
    return found
