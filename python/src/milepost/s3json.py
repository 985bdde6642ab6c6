"""Imports what a home-made manager left in S3: one checkpoint_<unix seconds>.json for each save."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from . import binary, errors

__all__ = ["bring"]


def bring(name: str, place: str, options: Sequence[str]) -> None:
    """Imports the objects below ``place`` (s3://bucket/prefix), if there are any, as the history of
    a checkpoint.

    ``options`` are options of the command. Raises Refused if the binary cannot tell which object is
    the newest, and other errors of this package if it cannot read them: a job must not start from
    zero then.
    """
    command = [binary.find(), "import", "--from", "s3-json", place, name, "--execute", "-o", "json", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8")
    if done.returncode == 0:
        return
    last = done.stderr.strip().rpartition("\n")[2]
    try:
        error = json.loads(last)
    except ValueError:
        error = {"error": last or f"exit status {done.returncode}"}
    failure = errors.from_reply({**error, "error": f"{error.get('error')} (pass import_old=False to start without the old objects)"})
    if not isinstance(failure, errors.NotFound):
        raise failure
