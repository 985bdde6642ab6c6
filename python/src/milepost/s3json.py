"""What a home-made manager has left in S3: one checkpoint_<unix seconds>.json for each save."""

from __future__ import annotations

import importlib
import re
import subprocess

from . import binary, errors

__all__ = ["bring"]

_OLD = re.compile(r"checkpoint_\d+\.json$")


def bring(name: str, bucket: str, prefix: str) -> None:
    """Imports the old objects, if there are any, into the checkpoint, which is not there yet.

    Raises Refused where there are old objects and they cannot be imported: a job must not start from zero then.
    """
    place = f"s3://{bucket}/{prefix}"
    count = _count(bucket, prefix)
    if count == 0:
        return
    about = {"name": name, "what": "old checkpoints", "have": place}
    found = f"{place} holds {count} checkpoints of the manager before, and {name} has none in Milepost yet"
    command = [binary.find(), "import", name, "--from", "s3-json", place, "--execute"]
    if not _can_import(command[0]):
        raise errors.Refused(
            f"{found}. This release of the milepost binary cannot import them. Set the checkpoint to where the newest of them stands "
            f"(milepost set {name} --cursor … --processed … --execute), or pass import_old=False to start without them",
            about,
        )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise errors.Refused(f"{found}, and to import them failed: {done.stderr.strip()}", about)


def _count(bucket: str, prefix: str) -> int:
    """How many old objects there are. Without boto3, by which they were written, there are none."""
    try:
        boto3 = importlib.import_module("boto3")
    except ImportError:
        return 0
    try:
        pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        return sum(1 for page in pages for item in page.get("Contents", ()) if _OLD.search(item["Key"]))
    except Exception as err:  # boto3 makes its exceptions as it goes
        raise errors.MilepostError(
            f"cannot tell whether s3://{bucket}/{prefix} holds checkpoints of the manager before: {err}. "
            "Pass import_old=False where it does not"
        ) from err


def _can_import(command: str) -> bool:
    told = subprocess.run([command, "import", "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return told.returncode == 0 and "s3-json" in told.stdout
