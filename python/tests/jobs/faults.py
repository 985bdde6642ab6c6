"""Runs the home-made manager and Milepost's through the same faults.

Prints what each lost, as the table in docs/glue.md.

usage: faults.py, with an S3 endpoint in AWS_ENDPOINT_URL_S3 and a store in MILEPOST_STORE
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import uuid
from collections.abc import Iterator
from time import sleep
from typing import Any, Protocol

import boto3
import homemade

import milepost


class Manager(Protocol):
    def save_checkpoint(self, checkpoint_data: dict[str, Any]) -> bool: ...

    def load_latest_checkpoint(self) -> dict[str, Any] | None: ...


class Place:
    """A separate bucket and prefix for each fault, and one kind of manager."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.bucket = f"faults-{uuid.uuid4().hex}"
        self.prefix = f"job-{uuid.uuid4().hex}"
        boto3.client("s3").create_bucket(Bucket=self.bucket)

    def manager(self) -> Manager:
        made: Manager = self.kind(self.bucket, self.prefix)
        return made


@contextlib.contextmanager
def s3_fails() -> Iterator[None]:
    """Makes S3 unreachable for managers that are created inside."""
    before = {name: os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_MAX_ATTEMPTS")}
    os.environ.update(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def save(manager: Manager, number: int, count: int, **more: Any) -> bool:
    return manager.save_checkpoint({"last_processed_id": f"record-{number:07d}", "records_processed": count, **more})


def newest(place: Place) -> int:
    """Returns the number of the record at which the next run goes on; 0 is the beginning."""
    manager = place.manager()
    loaded = manager.load_latest_checkpoint()
    end(manager)
    return int(loaded["last_processed_id"].partition("-")[2]) if loaded and loaded["last_processed_id"] else 0


def end(manager: Any) -> None:
    if isinstance(manager, milepost.CheckpointManager):
        manager.close()


def two_runs_at_once(place: Place) -> str:
    first, second = place.manager(), place.manager()
    first.load_latest_checkpoint()
    try:
        second.load_latest_checkpoint()
    except milepost.LeaseHeld:
        end(first)
        return "the second does not begin (`LeaseHeld`)"
    save(first, 2000, 2000)
    CLOCK.step()
    sleep(1.1)  # the grain of S3's own times
    save(second, 1000, 1000)
    return f"both work; the slower one's save wins: goes back from record 2,000 to {newest(place):,}"


def a_failed_put(place: Place) -> str:
    manager = place.manager()
    save(manager, 1000, 1000)
    if isinstance(manager, homemade.CheckpointManager):
        manager.bucket = "no-such-bucket"
    else:
        end(manager)
        with s3_fails():
            manager = place.manager()
            manager.load_latest_checkpoint()
    saved = save(manager, 2000, 1000)
    end(manager)
    return f"save returns {saved}; the next run goes on at record {newest(place):,}"


def a_failed_load(place: Place) -> str:
    manager = place.manager()
    save(manager, 1000, 1000)
    end(manager)
    with s3_fails():
        found = newest(place)
    return f"the job goes on at record {found:,}" if found else "load returns None, and the job starts from zero"


def two_saves_in_one_second(place: Place) -> str:
    manager = place.manager()
    save(manager, 1000, 1000)
    save(manager, 2000, 2000)
    if isinstance(manager, milepost.CheckpointManager):
        end(manager)
        job = milepost.open(place.prefix, archive=f"s3://{place.bucket}/{place.prefix}", identity=f"s3://{place.bucket}/{place.prefix}")
        kept = len({version.cursor for version in job.history()})
        job.close()
    else:
        kept = boto3.client("s3").list_objects_v2(Bucket=place.bucket, Prefix=place.prefix)["KeyCount"]
    return f"{kept} of 2 kept"


def many_checkpoints(place: Place) -> str:
    manager = place.manager()
    for number in range(1, 1501):
        CLOCK.step()
        save(manager, number * 1000, number * 1000)
    end(manager)
    found = newest(place) // 1000
    return "the newest is loaded" if found == 1500 else "loads one of the first 1,000: 500 saves or more are lost" if found <= 1000 else f"loads {found}"


def a_run_that_fails(place: Place) -> str:
    manager = place.manager()
    manager.load_latest_checkpoint()
    save(manager, 3000, 3000)
    CLOCK.step()
    sleep(1.1)
    manager.save_checkpoint({"last_processed_id": None, "records_processed": 3500, "error": "broken"})
    end(manager)
    found = newest(place)
    return f"the next run goes on at record {found:,}" if found else "the start of the run is saved: the next run starts from zero"


class Clock:
    """The clock that the home-made manager names its objects by, so tests need not wait seconds."""

    def __init__(self) -> None:
        self.now = itertools.count(1_712_484_000)
        self.step()

    def step(self) -> None:
        second = next(self.now)
        vars(homemade)["time"] = lambda: second


CLOCK = Clock()

FAULTS = {
    "two runs at once": two_runs_at_once,
    "S3 fails at a save": a_failed_put,
    "S3 fails at a load": a_failed_load,
    "two saves in one second": two_saves_in_one_second,
    "1,500 checkpoints": many_checkpoints,
    "a run that fails after record 3,000": a_run_that_fails,
}


def table() -> str:
    lines = ["| fault | made at home | `milepost.CheckpointManager` |", "|---|---|---|"]
    for fault, run in FAULTS.items():
        with contextlib.redirect_stdout(io.StringIO()):  # the home-made manager prints its errors
            lines.append(f"| {fault} | {run(Place(homemade.CheckpointManager))} | {run(Place(milepost.CheckpointManager))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
