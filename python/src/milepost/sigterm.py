"""SIGTERM: what the jobs of this process have marked is saved at once.

Two seconds from SIGTERM to SIGKILL are common, and a job may need them to stop.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .job import Job

__all__ = ["forget", "watch"]

_PATIENCE = 1.0  # seconds for the save, if SIGTERM is to end the process

_jobs: weakref.WeakSet[Job] = weakref.WeakSet()
_before: Any = None  # the handler before ours
_process = 0  # the process that our handler was set in; 0: it is not set


def watch(job: Job) -> None:
    """Saves what the job has marked when SIGTERM comes, and then does what SIGTERM would have done.

    Nothing is set in another thread than the main one, or if SIGTERM is ignored.
    """
    global _before, _process
    _jobs.add(job)
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is _save_soon:
        return
    before = signal.getsignal(signal.SIGTERM)
    if callable(before) or before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _save_soon)
        _before, _process = before, os.getpid()


def forget(job: Job) -> None:
    """Sets the handler before ours again when no job is left."""
    _jobs.discard(job)
    if not _jobs and threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _save_soon:
        signal.signal(signal.SIGTERM, _before)


def _save_soon(number: int, frame: FrameType | None) -> None:
    ends = not callable(_before)
    if os.getpid() == _process:  # a fork's jobs are its parent's
        for job in list(_jobs):
            job.save_soon(_PATIENCE if ends else 0)
    if ends:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    else:
        _before(number, frame)
