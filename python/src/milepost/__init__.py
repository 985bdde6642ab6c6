"""Checkpoints for data jobs: saved as the job runs, fenced, and resumed after a crash.

    with milepost.open("orders/eu") as job:
        for order in job.remaining(orders, key=lambda o: o["id"]):
            process(order)
            job.mark(order["id"])

The binary ``milepost`` runs the protocol; this package talks to the binary over a pipe.
"""

import logging

from .errors import (
    AgentGone,
    BadRecord,
    BinaryNotFound,
    BodyMissing,
    CredentialsError,
    CursorNotFound,
    Interrupted,
    LeaseHeld,
    LeaseLost,
    MilepostError,
    NewerFormat,
    NoTable,
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    StoreRegressed,
    StoreUnreachable,
    UsageError,
    VersionConflict,
    WrongBinary,
    Yielded,
)
from .job import UNCHANGED, Job, get, open
from .manager import CheckpointManager
from .records import Checkpoint, Holder
from .version import __version__

__all__ = [
    "UNCHANGED",
    "AgentGone",
    "BadRecord",
    "BinaryNotFound",
    "BodyMissing",
    "Checkpoint",
    "CheckpointManager",
    "CredentialsError",
    "CursorNotFound",
    "Holder",
    "Interrupted",
    "Job",
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
    "__version__",
    "get",
    "open",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
