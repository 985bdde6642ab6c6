"""The interface of the checkpoint manager that many Glue jobs were written with, on Milepost."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from . import errors, s3json
from .job import Job, get, open
from .stores import default_store

__all__ = ["CheckpointManager"]

_log = logging.getLogger("milepost")

_ID, _ERROR = "last_processed_id", "error"


class CheckpointManager:
    """``save_checkpoint(dict) -> bool`` and ``load_latest_checkpoint() -> dict | None``, as
    existing jobs call them.

    The first call of either acquires the lease of the checkpoint that ``prefix`` names, and holds
    it until the process exits, or until :meth:`close`. If there is no such checkpoint yet, the old
    objects under the prefix (``checkpoint_<time>.json``) are imported first. The archive is
    ``s3://bucket/prefix`` unless MILEPOST_ARCHIVE says otherwise.

    It is safe for a job that starts from zero on None and ignores False. None is returned only if
    there is no checkpoint. Errors after which a job cannot go on are raised: LeaseHeld, LeaseLost,
    Refused, a failed load.

    ``options`` are the options of :func:`milepost.open`.
    """

    def __init__(self, bucket: str, prefix: str, *, import_old: bool = True, **options: Any) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._import_old = import_old
        place = f"s3://{bucket}/{prefix.strip('/')}"
        archive = os.environ.get("MILEPOST_ARCHIVE") or place
        self._options = {"identity": place, "archive": archive, "store": default_store(), **options}
        self._where = {name: self._options[name] for name in ("store", "archive", "namespace") if self._options.get(name)}
        self._opened: Job | None = None
        self._newest: dict[str, Any] | None = None  # what a load would return now
        self._start: Any = None  # the id that this run has loaded
        self._counts = _RunCounts()
        self._error: str | None = None  # the error in the last save

    def load_latest_checkpoint(self) -> dict[str, Any] | None:
        """Returns the newest checkpoint as it was saved; None if there is none.

        Raises if that cannot be known.
        """
        job = self._job()
        self._counts = _RunCounts(job)  # a run begins here
        if self._newest is None:
            return None
        self._start = self._newest.get(_ID)
        return _copy(self._newest)

    def save_checkpoint(self, checkpoint_data: Mapping[str, Any]) -> bool:
        """Saves, and returns True when the save is durable; False if the store cannot be reached
        just now.

        What was not saved goes with the next save. If the dict has an ``error`` and an id older
        than the newest, the newest id and its counts stay, and the error is added: a failed run
        does not take back what it has saved. Raises LeaseLost and other errors of this package.
        """
        job = self._job()
        data = dict(checkpoint_data)
        failed = data.get(_ERROR)
        mark: dict[str, Any] = {}
        if failed and self._newest is not None and self._is_older(data.get(_ID)):
            data = {**self._newest, _ERROR: failed}
        else:
            cursor = _cursor(data.get(_ID)) or job.cursor
            if cursor is not None:
                mark = {"cursor": cursor, **self._counts.added(job, data)}
        try:
            job.save(data, **mark)
        except (errors.StoreUnreachable, errors.OutcomeUnknown) as err:
            _log.warning("milepost: %s was not saved: %s", job.name, err)
            return False
        self._newest, self._error = _copy(data), str(failed) if failed else None
        return True

    def close(self) -> None:
        """Releases the lease. The exit of the process does so too."""
        job, self._opened = self._opened, None
        if job is None:
            return
        atexit.unregister(self._at_exit)
        error = self._error
        if error is None and getattr(sys, "last_value", None) is not None:
            error = f"{type(sys.last_value).__name__}: {sys.last_value}"  # the exception that ends the process
        job.close(error)

    def _job(self) -> Job:
        if self._opened is None:
            name = self.prefix.strip("/")
            if self._import_old and not self._is_there(name):
                s3json.bring(name, f"s3://{self.bucket}/{name}", [f"--{flag}={value}" for flag, value in self._where.items()])
            job = open(name, **self._options)
            self._opened = job
            self._newest = _as_saved(job)
            self._counts = _RunCounts(job)
            atexit.register(self._at_exit)
        return self._opened

    def _is_there(self, name: str) -> bool:
        try:
            get(name, **self._where)
        except (errors.NotFound, errors.NoTable):  # open reports a missing table too, and creates a missing file
            return False
        return True

    def _at_exit(self) -> None:
        try:
            self.close()
        except errors.MilepostError as err:
            _log.warning("milepost: %s", err)

    def _is_older(self, id: Any) -> bool:
        """Returns whether an id comes before the newest saved one."""
        newest = self._newest.get(_ID) if self._newest is not None else None
        if newest is None or id == newest:
            return False
        if id is None or id == self._start:
            return True
        if isinstance(id, str) and isinstance(newest, str):
            return _natural(id) < _natural(newest)
        return isinstance(id, (int, float)) and isinstance(newest, (int, float)) and id < newest

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CheckpointManager cannot be pickled: one process, the Spark driver, holds the lease")


def _as_saved(job: Job) -> dict[str, Any] | None:
    """Returns the dict of the newest checkpoint.

    If its cursor was set since by other means, that cursor wins.
    """
    saved = job.state if isinstance(job.state, dict) else {}
    if not saved and job.cursor is None:
        return None
    if _cursor(saved.get(_ID)) != job.cursor:
        is_number = isinstance(saved.get(_ID), int) and job.cursor is not None and re.fullmatch(r"-?\d+", job.cursor)
        saved = {**saved, _ID: int(job.cursor) if is_number and job.cursor else job.cursor}
    return saved


def _cursor(id: Any) -> str | None:
    if id is None or id == "":
        return None
    return id if isinstance(id, str) else json.dumps(id)


class _RunCounts:
    """Turns a run's counts, which begin at zero, into what they add to the checkpoint's counts."""

    def __init__(self, job: Job | None = None) -> None:
        self._base = {"processed": job.processed, "failed": job.failed} if job else {}
        self._said = {"processed": 0, "failed": 0}

    def added(self, job: Job, data: Mapping[str, Any]) -> dict[str, int]:
        """Returns what the counts in a dict, in either of the two usual forms, add to the
        checkpoint's.
        """
        statistics = data.get("batch_statistics")
        statistics = statistics if isinstance(statistics, Mapping) else {}
        says = {
            "processed": data.get("records_processed", statistics.get("processed_records")),
            "failed": data.get("records_failed", statistics.get("failed_records")),
        }
        added = {}
        for name, now in (("processed", job.processed), ("failed", job.failed)):
            count = says[name]
            if not isinstance(count, int) or count < 0:
                count = self._said[name]
            if count < self._said[name]:
                self._base[name] = now  # the job counts from zero again
            self._said[name] = count
            added[name] = max(self._base[name] + count - now, 0)
        return added


def _copy(data: Mapping[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(data))
    return copy


def _natural(id: str) -> list[Any]:
    """Splits text into words and numbers, so that record-999 comes before record-1000."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", id)]
