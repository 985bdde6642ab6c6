"""What can go wrong, one class for each kind of the agent's errors.

A kind is the same word everywhere: here, in the agent's protocol, and in the JSON errors of the
command, whose exit code for it is in ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .records import Holder, parse_holder, parse_time

__all__ = [
    "AgentGone",
    "BadRecord",
    "BinaryNotFound",
    "BodyMissing",
    "CredentialsError",
    "CursorNotFound",
    "Interrupted",
    "LeaseHeld",
    "LeaseLost",
    "MilepostError",
    "NewerFormat",
    "NoTable",
    "NotFound",
    "OutcomeUnknown",
    "ProtocolError",
    "Refused",
    "StoreRegressed",
    "StoreUnreachable",
    "UsageError",
    "VersionConflict",
    "WrongBinary",
    "Yielded",
]


class MilepostError(Exception):
    """An error of Milepost. ``fields`` has what the agent said beside the message."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.fields: dict[str, Any] = dict(fields or {})

    @property
    def name(self) -> str | None:
        """The checkpoint that the error is about, where it is about one."""
        name = self.fields.get("name")
        return name if isinstance(name, str) else None


class UsageError(MilepostError, ValueError):
    """A request that is wrong: a bad name, a bad store URL, a state that is not JSON. Nothing was done."""

    kind = "usage"
    exit_code = 2


class NotFound(MilepostError):
    """There is no such checkpoint or version."""

    kind = "not_found"
    exit_code = 3


class VersionConflict(MilepostError):
    """The checkpoint has moved on: ``version`` is where it is."""

    kind = "version_conflict"
    exit_code = 4

    @property
    def version(self) -> int:
        return int(self.fields.get("version", 0))


class LeaseHeld(MilepostError):
    """Another run holds the checkpoint, and is alive as far as can be told."""

    kind = "lease_held"
    exit_code = 5

    @property
    def holder(self) -> Holder:
        """Who holds it."""
        return parse_holder(self.fields.get("holder"))

    @property
    def epoch(self) -> int:
        return int(self.fields.get("epoch", 0))

    @property
    def since(self) -> datetime | None:
        """When it was acquired."""
        return parse_time(self.fields.get("since"))

    @property
    def until(self) -> datetime | None:
        """When it ends unless it is renewed, which a live holder does; None where that is not known."""
        return parse_time(self.fields.get("until"))

    @property
    def renewed_at(self) -> datetime | None:
        return parse_time(self.fields.get("renewed_at"))


class Refused(MilepostError):
    """The checkpoint is not one to resume from: it belongs to another input or code, or has another schema."""

    kind = "refused"
    exit_code = 6

    @property
    def what(self) -> str:
        """What differs, such as ``identity`` or ``schema``."""
        return str(self.fields.get("what", ""))

    @property
    def have(self) -> str:
        return str(self.fields.get("have", ""))

    @property
    def want(self) -> str:
        return str(self.fields.get("want", ""))

    @property
    def hint(self) -> str:
        """What to do about it."""
        return str(self.fields.get("hint", ""))


class LeaseLost(MilepostError):
    """The lease is no longer this job's: nothing that it does from here on will be saved. Stop."""

    kind = "lease_lost"
    exit_code = 7

    @property
    def reason(self) -> str:
        """``stolen``, ``expired``, ``released`` or ``regressed``."""
        return str(self.fields.get("reason", ""))

    @property
    def holder(self) -> Holder | None:
        """Who took it, where that is known."""
        holder = self.fields.get("holder")
        return parse_holder(holder) if holder else None

    @property
    def epoch(self) -> int | None:
        """The epoch of the one who took it, where that is known."""
        epoch = self.fields.get("epoch")
        return int(epoch) if epoch is not None else None


class StoreUnreachable(MilepostError):
    """The store cannot be reached, or throttles past all patience."""

    kind = "unavailable"
    exit_code = 8


class Yielded(MilepostError):
    """The job agreed to hand over, was asked, and did not in time."""

    kind = "yielded"
    exit_code = 10


class Interrupted(MilepostError):
    """The request was cancelled."""

    kind = "interrupted"
    exit_code = 130


class OutcomeUnknown(MilepostError):
    """A save may or may not have landed: it did if and only if ``version`` carries ``commit_id``.

    The session finds out before it does anything else.
    """

    kind = "outcome_unknown"

    @property
    def version(self) -> int:
        return int(self.fields.get("version", 0))

    @property
    def commit_id(self) -> str:
        return str(self.fields.get("commit_id", ""))


class StoreRegressed(MilepostError):
    """The store has gone backward: a table was restored or replaced under the job."""

    kind = "store_regressed"


class BodyMissing(MilepostError):
    """A state in the archive is missing or damaged. No older state stands in for it."""

    kind = "body_missing"


class BadRecord(MilepostError):
    """A record in the store is damaged. It was not touched."""

    kind = "bad_record"


class NewerFormat(MilepostError):
    """A record was written by a newer release of Milepost."""

    kind = "newer_format"


class NoTable(MilepostError):
    """The store's table or file is not there."""

    kind = "no_table"


class CredentialsError(MilepostError):
    """The cloud's credentials are missing or refused."""

    kind = "credentials"


class AgentGone(MilepostError):
    """The process that holds the lease for this one has ended. What was saved is safe; open anew to go on."""

    kind = "agent_gone"


class ProtocolError(MilepostError):
    """The agent said what no agent says. It was told to save and to end."""

    kind = "protocol"


class BinaryNotFound(MilepostError):
    """No ``milepost`` binary beside the package, in ``MILEPOST_BIN`` or on ``PATH``."""

    kind = "binary_not_found"


class WrongBinary(MilepostError):
    """What was found as the binary is none, or of a release that this package does not go with."""

    kind = "wrong_binary"


class CursorNotFound(MilepostError):
    """No record has the key at which the last run stopped, so that none could be told to come after it."""

    kind = "cursor_not_found"


_BY_KIND: dict[str, type[MilepostError]] = {
    cls.kind: cls
    for cls in (
        UsageError,
        NotFound,
        VersionConflict,
        LeaseHeld,
        Refused,
        LeaseLost,
        StoreUnreachable,
        Yielded,
        Interrupted,
        OutcomeUnknown,
        StoreRegressed,
        BodyMissing,
        BadRecord,
        NewerFormat,
        NoTable,
        CredentialsError,
    )
}


def from_reply(error: Mapping[str, Any]) -> MilepostError:
    """The exception for an error object of the agent's. A kind that is not known is a plain MilepostError."""
    message = str(error.get("error", "the agent gives no reason"))
    return _BY_KIND.get(str(error.get("kind")), MilepostError)(message, error)
