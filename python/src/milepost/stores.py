"""The default store of a job."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

__all__ = ["default_store"]

GLUE_TABLE = "milepost"

# The binary uses the same variables to know that it is on Glue. There it refuses a file, because
# local files end with the run.
_ON_GLUE = ("GLUE_VERSION", "GLUE_PYTHON_VERSION", "GLUE_COMMAND_CRITERIA")
_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")


def default_store(environ: Mapping[str, str] = os.environ) -> str | None:
    """Returns the URL in ``MILEPOST_STORE``, else on Glue the table ``milepost`` in the job's
    region.

    Elsewhere returns None: the binary then takes a file in the user's state directory.
    """
    named = environ.get("MILEPOST_STORE")
    if named:
        return named
    if not any(environ.get(name) for name in _ON_GLUE):
        return None
    region = next((environ[name] for name in _REGION if environ.get(name)), None)
    # Without a region here the binary asks the SDK's other sources, and fails if none has one.
    return f"dynamodb://{GLUE_TABLE}" + (f"?region={quote(region)}" if region else "")
