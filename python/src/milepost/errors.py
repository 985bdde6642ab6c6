"""The errors of Milepost: one class for each kind of the agent's errors.

A kind is the same word here, in the agent's protocol, and in the command's JSON errors.
``exit_code`` is the command's exit code for the kind.
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
    """An error of Milepost. ``fields`` has what the agent said with the message."""

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.fields: dict[str, Any] = dict(fields or {})

    @property
    def name(self) -> str | None:
        """The checkpoint that the error is about, or None."""
        name = self.fields.get("name")
        return name if isinstance(name, str) else None


class UsageError(MilepostError, ValueError):
    """A request that is wrong: a bad name, a bad store URL, a state that is not JSON.

    Nothing was done.
    """

    kind = "usage"
    exit_code = 2


class NotFound(MilepostError):
    """There is no such checkpoint or version."""

    kind = "not_found"
    exit_code = 3


class VersionConflict(MilepostError):
    """The checkpoint is no longer at the expected version: ``version`` is its newest."""

    kind = "version_conflict"
    exit_code = 4

    @property
    def version(self) -> int:
        return int(self.fields.get("version", 0))


class LeaseHeld(MilepostError):
    """Another run holds the checkpoint's lease, and appears to be alive."""

    kind = "lease_held"
    exit_code = 5

    @property
    def holder(self) -> Holder:
        """The run that holds the lease."""
        return parse_holder(self.fields.get("holder"))

    @property
    def epoch(self) -> int:
        return int(self.fields.get("epoch", 0))

    @property
    def since(self) -> datetime | None:
        """When the lease was acquired."""
        return parse_time(self.fields.get("since"))

    @property
    def until(self) -> datetime | None:
        """When the lease ends unless it is renewed, as a live holder does; None if not known."""
        return parse_time(self.fields.get("until"))

    @property
    def renewed_at(self) -> datetime | None:
        return parse_time(self.fields.get("renewed_at"))


class Refused(MilepostError):
    """The job must not resume from the checkpoint, which has another input, code or schema."""

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
        """What to do next."""
        return str(self.fields.get("hint", ""))


class LeaseLost(MilepostError):
    """This job no longer holds the lease: nothing that it does from here on is saved. Stop."""

    kind = "lease_lost"
    exit_code = 7

    @property
    def reason(self) -> str:
        """``stolen``, ``expired``, ``released`` or ``regressed``."""
        return str(self.fields.get("reason", ""))

    @property
    def holder(self) -> Holder | None:
        """The run that took the lease, if that is known."""
        holder = self.fields.get("holder")
        return parse_holder(holder) if holder else None

    @property
    def epoch(self) -> int | None:
        """The epoch of the run that took the lease, if that is known."""
        epoch = self.fields.get("epoch")
        return int(epoch) if epoch is not None else None


class StoreUnreachable(MilepostError):
    """The store cannot be reached, or still throttles after all retries."""

    kind = "unavailable"
    exit_code = 8


class Yielded(MilepostError):
    """The job was asked to hand over its lease, as it had agreed to, and did not do so in time."""

    kind = "yielded"
    exit_code = 10


class Interrupted(MilepostError):
    """The request was cancelled."""

    kind = "interrupted"
    exit_code = 130


class OutcomeUnknown(MilepostError):
    """A save may or may not have been committed: it was if and only if ``version`` has
    ``commit_id``.

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
    """The store has gone backward: its table was restored or replaced while the job ran."""

    kind = "store_regressed"


class BodyMissing(MilepostError):
    """A state in the archive is missing or damaged. It is never replaced by an older state."""

    kind = "body_missing"


class BadRecord(MilepostError):
    """A record in the store is damaged. It was not changed."""

    kind = "bad_record"


class NewerFormat(MilepostError):
    """A record was written by a newer release of Milepost."""

    kind = "newer_format"


class NoTable(MilepostError):
    """The store's table or file does not exist."""

    kind = "no_table"


class CredentialsError(MilepostError):
    """The cloud credentials were rejected, or none were found."""

    kind = "credentials"


class AgentGone(MilepostError):
    """The agent, which holds the lease, has ended.

    What was saved is safe; open the checkpoint again to go on.
    """

    kind = "agent_gone"


class ProtocolError(MilepostError):
    """The process does not speak the agent's protocol. It was asked to save and end."""

    kind = "protocol"


class BinaryNotFound(MilepostError):
    """There is no ``milepost`` binary in the package, in ``MILEPOST_BIN`` or on ``PATH``."""

    kind = "binary_not_found"


class WrongBinary(MilepostError):
    """The program found is not milepost, or is a release that this package does not work with."""

    kind = "wrong_binary"


class CursorNotFound(MilepostError):
    """No record has the key at which the last run stopped: the records after it are not known."""

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
    """Returns the exception for an agent's error object: a plain MilepostError if the kind is not
    known.
    """
    message = str(error.get("error", "the agent gives no reason"))
    return _BY_KIND.get(str(error.get("kind")), MilepostError)(message, error)
