"""A checkpoint's version and its holder, as callers of this package see them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

__all__ = ["Checkpoint", "Holder"]


class Holder(NamedTuple):
    """The run that holds a lease, or that has saved a version."""

    id: str
    host: str = ""
    pid: int = 0
    run_id: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """One committed version."""

    namespace: str
    name: str
    version: int
    epoch: int
    saved_at: datetime | None
    saved_by: Holder
    cursor: str | None
    processed: int
    failed: int
    last_error: str
    ended: str  # how the session ended, on the version that closed it: done, error, yielded, stopped
    label: str
    restored_from: int
    state: Any = field(repr=False)
    """As saved; None if no state was saved, or if it was not loaded (in a history)."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    """The agent's whole answer."""


def parse_checkpoint(raw: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        namespace=str(raw["namespace"]),
        name=str(raw["name"]),
        version=int(raw["version"]),
        epoch=int(raw["commit_epoch"]),
        saved_at=parse_time(raw.get("saved_at")),
        saved_by=parse_holder(raw.get("saved_by")),
        cursor=str(raw["cursor"]) or None,
        processed=int(raw["processed"]),
        failed=int(raw["failed"]),
        last_error=str(raw.get("last_error", "")),
        ended=str(raw.get("ended", "")),
        label=str(raw.get("label", "")),
        restored_from=int(raw.get("restored_from", 0)),
        state=parse_state(raw),
        raw=raw,
    )


def parse_state(raw: Mapping[str, Any]) -> Any:
    """Returns the state in a result: any JSON, or bytes if another codec encoded it."""
    if "state_base64" not in raw:
        return raw.get("state")
    data = base64.b64decode(raw["state_base64"])
    if "content_type" in raw:
        return data
    import json  # another program wrote this state, with line breaks

    return json.loads(data)


def parse_holder(raw: Mapping[str, Any] | None) -> Holder:
    raw = raw or {}
    return Holder(str(raw.get("id", "")), str(raw.get("host", "")), int(raw.get("pid", 0)), str(raw.get("run_id", "")))


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$")


def parse_time(text: str | None) -> datetime | None:
    """Parses a time of the agent's:

    RFC 3339 in UTC. Before 3.11, datetime.fromisoformat takes neither Z nor nanoseconds.
    """
    match = _TIME.match(text or "")
    if match is None:
        return None
    micros = int((match.group(2) or "").ljust(6, "0")[:6])
    return datetime.fromisoformat(match.group(1)).replace(microsecond=micros, tzinfo=timezone.utc)
