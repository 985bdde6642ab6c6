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
"""Seconds of the lease. Glue promises no signal when it stops a job or its time is up: the lease then ends by itself."""
WAIT = 75.0
"""Seconds that a run waits for the lease: long enough for a retry to outlast the lease of an attempt that was killed."""

_ATTEMPT = re.compile(r"(?P<run>.+?)_attempt_(?P<attempt>\d+)")


class Run(NamedTuple):
    """One attempt of one run of a Glue job."""

    job: str
    run: str
    attempt: int

    @property
    def holder(self) -> str:
        """The holder of the lease: each attempt is one of its own."""
        return f"{self.job}/{self.run_id}" if self.run else self.job

    @property
    def run_id(self) -> str:
        return f"{self.run}_attempt_{self.attempt}" if self.attempt else self.run


def this_run(args: Mapping[str, str] | None = None, argv: Sequence[str] | None = None) -> Run:
    """Which run this is: as the dict of ``getResolvedOptions`` says, else as Glue's own arguments in ``sys.argv`` do.

    JOB_RUN_ID is in that dict without being asked for; to name it among the options is an error of awsglue's.
    A Python shell job may have neither awsglue nor these arguments; then name the job.
    """
    told = _told(args, argv)
    run = told.get("JOB_RUN_ID", "")
    match = _ATTEMPT.fullmatch(run)
    if match is not None:
        return Run(told.get("JOB_NAME", ""), match["run"], int(match["attempt"]))
    return Run(told.get("JOB_NAME", ""), run, 0)


def open(args: Mapping[str, str] | None = None, *, name: str | None = None, **options: Any) -> jobs.Job:
    """Opens the checkpoint of this Glue job: :func:`milepost.open`, with the job's name, holder and run id.

    ``args`` is what ``getResolvedOptions`` returned. The job's parameters ``--milepost_store``, ``--milepost_archive`` and
    ``--milepost_namespace`` are taken from it, or from ``sys.argv``. ``options`` are those of :func:`milepost.open`, and come before these.
    Raises UsageError where neither ``name`` nor Glue names the job.
    """
    run = this_run(args)
    name = name or run.job
    if not name:
        raise UsageError("no name for the checkpoint: Glue has told no JOB_NAME here, so pass name=…")
    own: dict[str, Any] = {"duration": DURATION, "wait": WAIT, "holder": run.holder or name}
    if run.run:
        own["run_id"] = run.run_id
    told = _told(args, None)
    own.update({option: told[f"milepost_{option}"] for option in ("store", "archive", "namespace") if told.get(f"milepost_{option}")})
    return jobs.open(name, **{**own, **options})


def _told(args: Mapping[str, str] | None, argv: Sequence[str] | None) -> dict[str, str]:
    told = dict(_arguments(sys.argv[1:] if argv is None else argv))
    told.update({name: value for name, value in (args or {}).items() if isinstance(value, str)})
    return told


def _arguments(argv: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of --NAME VALUE and --NAME=VALUE."""
    found = []
    for at, argument in enumerate(argv):
        if not argument.startswith("--"):
            continue
        name, given, value = argument[2:].partition("=")
        if not given and at + 1 < len(argv):
            value = argv[at + 1]
        found.append((name, value))
    return found
