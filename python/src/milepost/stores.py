"""Which store a job uses that names none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

__all__ = ["default_store"]

GLUE_TABLE = "milepost"

# As the binary tells that it is on Glue, where it refuses a file: local files end with the run.
_ON_GLUE = ("GLUE_VERSION", "GLUE_PYTHON_VERSION", "GLUE_COMMAND_CRITERIA")
_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")


def default_store(environ: Mapping[str, str] = os.environ) -> str | None:
    """The URL of ``MILEPOST_STORE``, else on Glue the table ``milepost`` in the job's region.

    None elsewhere: the binary then takes a file in the user's state directory.
    """
    named = environ.get("MILEPOST_STORE")
    if named:
        return named
    if not any(environ.get(name) for name in _ON_GLUE):
        return None
    region = next((environ[name] for name in _REGION if environ.get(name)), None)
    # Without a region here the binary asks the SDK's other sources, and fails if none knows.
    return f"dynamodb://{GLUE_TABLE}" + (f"?region={quote(region)}" if region else "")
