"""A job: one session of one checkpoint, from open to close."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from types import TracebackType
from typing import Any, Callable, NoReturn, TypeVar

from . import errors, sigterm
from .agent import Agent, Message, encode
from .records import Checkpoint, Holder, parse_checkpoint, parse_holder, parse_state
from .remaining import as_text, remaining
from .stores import default_store

__all__ = ["UNCHANGED", "Job", "get", "open"]

Record = TypeVar("Record")

_log = logging.getLogger("milepost")


class _Unchanged:
    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Any = _Unchanged()
"""Pass it as the state to keep the state as it is. (None is a state: null.)"""


def open(
    name: str,
    *,
    store: str | None = None,
    archive: str | None = None,
    namespace: str | None = None,
    holder: str | None = None,
    run_id: str | None = None,
    duration: float | None = None,
    wait: float = 0.3,
    on_wait: Callable[[errors.LeaseHeld], None] | None = None,
    take_over: bool = False,
    yields: bool = False,
    same_holder: bool = False,
    max_silence: float | None = None,
    every: int | None = None,
    interval: float | None = None,
    max_unsaved: int | None = None,
    identity: str | None = None,
    on_identity: str | None = None,
    schema: int | None = None,
    migrate: Callable[[int, Any], Any] | None = None,
    order: str | None = None,
    retain_age: float | None = None,
    retain_starts: int | None = None,
    expect_every: float | None = None,
    expect_grace: float | None = None,
) -> Job:
    """Acquires a checkpoint's lease, loads its newest version, and starts a job there. Use it in a
    ``with``.

    Durations are in seconds. None means the default; docs/agent-protocol.md describes each option.

    store: a URL, ``dynamodb://TABLE?region=…`` or ``sqlite:PATH``; default: MILEPOST_STORE, on Glue
        the table ``milepost`` in the job's region, elsewhere a file in the user's state directory.
    archive: a URL, ``s3://BUCKET/PREFIX?region=…`` or ``file:DIR``, or ``none``: where large states
        and a mirror of the versions are kept; default: MILEPOST_ARCHIVE.
    wait: how long to wait for a lease that is held. The default is enough for a run that has just
        been killed to release its lease.
    on_wait: called with each holder that the job waits for.
    yields: agree to hand over when asked; then watch ``Job.handoff_wanted``.
    migrate: called with the schema that was found and its state; returns the state for this schema.
    order: ``integer`` or ``text``: cursors never go backward, and ``Job.remaining`` compares them.
    expect_every: the longest time between two saves of the job. After ``expect_grace`` more without
        a save, ``milepost monitor``, ``stale`` and ``status`` report the job. An expectation that a
        person set with ``milepost expect`` is kept.

    Raises LeaseHeld, Refused, StoreUnreachable and other errors of this package; then no lease is
    held.
    """
    fields = {
        "name": name,
        "namespace": namespace,
        "store": store or default_store(),
        "archive": archive,
        "holder": holder,
        "run_id": run_id,
        "duration_ms": _millis(duration),
        "wait_ms": _millis(wait),
        "take_over": take_over or None,
        "yield": yields or None,
        "same_holder": same_holder or None,
        "max_silence_ms": _millis(max_silence),
        "every": every,
        "interval_ms": _millis(interval),
        "max_unsaved": max_unsaved,
        "identity": identity,
        "on_identity": on_identity,
        "schema": schema,
        "migrate": True if migrate else None,
        "order": order,
        "retain_age_ms": _millis(retain_age),
        "retain_starts": retain_starts,
        "expect_every_ms": _millis(expect_every),
        "expect_grace_ms": _millis(expect_grace),
    }
    return Job({field: value for field, value in fields.items() if value is not None}, on_wait, migrate)


def get(name: str, *, version: int | None = None, store: str | None = None, archive: str | None = None, namespace: str | None = None) -> Checkpoint:
    """Returns the newest version of a checkpoint, or the given one. It takes no lease.

    Raises NotFound and other errors of this package.
    """
    target = {"name": name, "store": store or default_store(), "archive": archive, "namespace": namespace, "version": version}
    agent = Agent(lambda _: None)
    try:
        return parse_checkpoint(agent.call("get", {field: value for field, value in target.items() if value is not None}))
    finally:
        agent.stop()


class Job:
    """A job that holds its checkpoint's lease. :func:`open` makes one.

    Several threads may use a job. A forked process may not, and a job cannot be pickled. When the
    lease is lost, the next call raises LeaseLost; ``lost`` says so in between.
    """

    name: str
    namespace: str
    epoch: int
    """The fencing token, a plain number. Send it with what this job writes elsewhere."""
    holder: Holder
    version: int
    """The newest version that is known to be saved; 0 if there is none yet."""
    resumed: Checkpoint | None
    """The version that the job resumed from, without its state; None if the job started from the
    beginning.
    """
    cursor: str | None
    """The job's position: as loaded, then as marked last. None at the beginning."""
    processed: int
    failed: int
    state: Any
    """As loaded, then as last passed to mark or save.

    Changing it in place does not change what is saved.
    """

    def __init__(
        self,
        fields: Mapping[str, Any],
        on_wait: Callable[[errors.LeaseHeld], None] | None = None,
        migrate: Callable[[int, Any], Any] | None = None,
    ) -> None:
        self._fields = dict(fields)
        self._on_wait, self._migrate = on_wait, migrate
        self._closed = False
        self._session = 0
        self._over: set[int] = set()  # closed sessions, whose events may still arrive
        self._agent = Agent(self._on_event)
        try:
            self._open()
            sigterm.watch(self)
        except BaseException:
            self._closed = True
            self._agent.stop()  # this also cancels a waiting open
            raise

    def _open(self) -> None:
        self.lost: errors.LeaseLost | None = None
        """Why the job has lost the lease; None while it holds the lease."""
        self.handoff_wanted: float | None = None
        """The seconds in which another run wants the lease, once it asks; None until then."""
        result = self._agent.call("open", self._fields, on_event=self._while_opening)
        self._session = int(result["session"])
        self._within = f',"session":{self._session}'  # part of each request
        self._mark = f'{{"method":"mark"{self._within},"cursor":"'
        self.namespace, self.name = str(result["namespace"]), str(result["name"])
        self.epoch, self.version = int(result["epoch"]), int(result["version"])
        self.holder = parse_holder(result["holder"])
        self.cursor = str(result["cursor"]) or None
        self.processed, self.failed = int(result["processed"]), int(result["failed"])
        self.state = parse_state(result)
        self.resumed = parse_checkpoint(result["resumed"]) if "resumed" in result else None
        self._base = self.version

    def mark(self, cursor: str | int, processed: int | None = None, failed: int = 0, state: Any = UNCHANGED) -> None:
        """Marks all records up to and including the one at ``cursor`` as done.

        The counts are added to the checkpoint's; without either, one record was processed. A state
        replaces the state before, in the same step. Marks are saved in the background every 1,000
        records or 10 seconds unless open says otherwise, by :meth:`flush`, and when the job ends,
        however it ends. mark waits for the store only while too many records are unsaved. Raises
        LeaseLost if the lease is lost, AgentGone, UsageError.
        """
        # A job may mark hundreds of thousands of records a second: avoid every call that can be
        # avoided, and every field that the agent adds itself.
        agent = self._agent
        if agent.failure is not None or self._closed:
            self._check()
        if cursor.__class__ is int:
            cursor = text = str(cursor)  # nothing to escape
        else:
            if cursor.__class__ is not str or not cursor:
                cursor = _text(cursor)
            text = encode_basestring(cursor)[1:-1]
        if processed is None and failed == 0 and state is UNCHANGED:
            agent.write(f'{self._mark}{text}"}}\n')
            self.cursor = cursor
            self.processed += 1
            return
        processed, failed = _counts(processed, failed)
        extra = "" if state is UNCHANGED else f',"state":{encode(state, "the state")}'
        agent.write(f'{self._mark}{text}","processed":{processed},"failed":{failed}{extra}}}\n')
        self._marked(cursor, processed, failed, state)

    def save(self, state: Any = UNCHANGED, *, cursor: str | int | None = None, processed: int | None = None, failed: int = 0) -> int:
        """Saves, with a last mark if there is a cursor, and returns the new version when it is
        durable.

        After any error except the loss of the lease the job goes on, with cursor, counts and state
        as marked.
        """
        agent = self._agent
        if agent.failure is not None or self._closed:
            self._check()
        fields = self._within
        if cursor is not None:
            cursor = _text(cursor)
            processed, failed = _counts(processed, failed)
            fields += f',"cursor":{encode_basestring(cursor)},"processed":{processed},"failed":{failed}'
        elif processed or failed:
            raise errors.UsageError("save: counts belong to a cursor, which is missing")
        if state is not UNCHANGED:
            fields += f',"state":{encode(state, "the state")}'
        try:
            self.version = int(agent.call("save", {}, fields)["version"])
        except (errors.StoreUnreachable, errors.OutcomeUnknown):
            self._learn()
            raise
        self._marked(self.cursor if cursor is None else cursor, processed or 0, failed, state)
        return self.version

    def _learn(self) -> None:
        """Reads the job's position from the agent. A mark may be taken although its save failed."""
        marked = self._call("info", {"session": self._session})
        self.cursor = str(marked["cursor"]) or None
        self.processed, self.failed = int(marked["processed"]), int(marked["failed"])
        self.state = parse_state(self._call("state", {"session": self._session}))

    def flush(self) -> int:
        """Saves what was marked, if anything was, and returns the newest version when it is
        durable.
        """
        self._check()
        self.version = int(self._call("flush", {"session": self._session})["version"])
        return self.version

    def save_soon(self, patience: float = 0) -> None:
        """Says that this process may be killed soon: saves what was marked now, and what is marked
        later within 250 ms.

        It waits at most ``patience`` seconds for the first save, and raises nothing. At SIGTERM the
        package calls it, unless the program has set a handler of its own after open: such a handler
        calls it itself.
        """
        with contextlib.suppress(errors.MilepostError):
            if patience > 0:
                self.version = int(self._agent.call("flush", {}, f'{self._within},"soon":true', patience)["version"])
            else:
                self._agent.send("flush", f'{self._within},"soon":true')

    def _marked(self, cursor: str | None, processed: int, failed: int, state: Any) -> None:
        self.cursor = cursor
        self.processed += processed
        self.failed += failed
        if state is not UNCHANGED:
            self.state = state

    def remaining(self, records: Iterable[Record], key: Callable[[Record], str | int] | None = None) -> Iterator[Record]:
        """Returns the records that come after the cursor. Without ``key``, a record is its own key.

        The records must come in the same order each time. If open was given an ``order``, the
        records above the cursor remain. If not, keys are only compared for equality, since their
        order is not known (as text, record-1000 comes before record-999). Then the records after
        the one at the cursor remain, and if no record has the cursor as its key, this raises
        CursorNotFound. It raises LeaseLost when the lease is lost.
        """
        return remaining(records, key, self.cursor, self._fields.get("order"), self._check)

    def history(self, limit: int = 100) -> list[Checkpoint]:
        """Returns the newest versions, newest first, without their states."""
        self._check(lost=False)
        found: list[Checkpoint] = []
        following: dict[str, int] = {}
        while len(found) < limit:
            page = self._call("history", {**self._target(), **following, "limit": min(limit - len(found), 1000)})
            found += [parse_checkpoint(version) for version in page["versions"]]
            if "next" not in page:
                break
            following = {"version": int(page["next"])}
        return found

    def get(self, version: int | None = None) -> Checkpoint:
        """Returns one version with its state; without a number, the newest. Raises NotFound."""
        self._check(lost=False)
        asked = {} if version is None else {"version": version}
        return parse_checkpoint(self._call("get", {**self._target(), **asked}))

    def rollback(self, to: int | None = None, reason: str | None = None) -> int:
        """Makes a new version with the content of version ``to``, continues from there, and returns
        its number.

        Without a number, it undoes this run: it goes back to the version that the run resumed from,
        or to the beginning. The lease is released and acquired again meanwhile. If another run
        takes it in between, this raises LeaseHeld and the job is closed. If there is no such
        version it raises NotFound, and nothing was changed.
        """
        self._check()
        to = self._base if to is None else to
        if to != 0:
            self.get(to)
        why = {} if reason is None else {"reason": reason}
        try:
            self._over.add(self._session)
            last = int(self._call("close", {"session": self._session, "ended": "stopped"})["version"])
            edit = {**self._target(), "if_version": last, **why}
            if to == 0:
                self._call("reset", edit)
            else:
                self._call("rollback", {**edit, "to": to})
            base = self._base
            self._open()
            self._base = base
        except BaseException:
            self._closed = True
            self._agent.stop()
            raise
        return self.version

    def close(self, error: str | None = None, ended: str | None = None) -> None:
        """Saves what was marked, records in that version how the job ended, and releases the lease.

        ``error`` is kept as the last error. ``ended`` is ``done``, ``error``, ``yielded`` or
        ``stopped``. Closing again does nothing. Raises LeaseLost if the lease was lost before; the
        job is closed anyway.
        """
        if self._closed:
            return
        self._closed = True
        failure: errors.MilepostError | None = None
        try:
            self._agent.check()
        except (errors.AgentGone, errors.ProtocolError):
            self._agent.stop()
            raise
        except errors.MilepostError as err:
            failure = err
            if error is None and ended is None:
                error = _describe(err)
        sigterm.forget(self)
        how = {"error": _cut(error), "ended": ended}
        self._finish({field: value for field, value in how.items() if value is not None})
        if failure is not None:
            raise failure

    def _finish(self, how: Mapping[str, str]) -> None:
        try:
            self.version = int(self._agent.call("close", {"session": self._session, **how})["version"])
        finally:
            self._agent.stop()

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.close()
            return
        try:
            if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
                self.close(ended="stopped")
            else:
                self.close(error=_describe(error))
        except errors.MilepostError as err:
            # The job's own exception is the one to raise.
            if type(err) is not type(error):
                _log.warning("milepost: %s could not be closed: %s", self.name, err)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a milepost job cannot be pickled: one process, the Spark driver, holds the lease. Send its epoch (job.epoch, a number) instead")

    def __repr__(self) -> str:
        standing = "closed" if self._closed else "lost" if self.lost else f"epoch {self.epoch}"
        return f"<milepost job {self.name} at {self.cursor!r}, version {self.version}, {standing}>"

    def _target(self) -> dict[str, Any]:
        where: dict[str, Any] = {field: self._fields[field] for field in ("store", "archive") if field in self._fields}
        return {"name": self.name, "namespace": self.namespace, **where}

    def _call(self, method: str, fields: Mapping[str, Any], extra: str = "") -> Message:
        return self._agent.call(method, fields, extra)

    def _check(self, lost: bool = True) -> None:
        """Raises the reason why no other call is possible; with lost=False, for a call that needs
        no lease.
        """
        if self._closed:
            raise errors.UsageError(f"the job {self.name} is closed")
        if lost or self.lost is None:
            self._agent.check()

    def _on_event(self, event: Message) -> None:
        # The event may arrive before the open that it follows has returned.
        if event.get("session") in self._over:
            return
        if event["event"] == "handoff_wanted":
            self.handoff_wanted = int(event["within_ms"]) / 1000
        elif event["event"] in ("lease_lost", "session_failed"):
            failure = errors.from_reply(event["error"])
            if isinstance(failure, errors.LeaseLost):
                self.lost = failure
            self._agent.fail(failure)

    def _while_opening(self, request: int, event: Message) -> None:
        if event["event"] == "waiting" and self._on_wait is not None:
            held = errors.from_reply(event["error"])
            assert isinstance(held, errors.LeaseHeld)
            self._on_wait(held)
        elif event["event"] == "migrate" and self._migrate is not None:
            try:
                answer = f'"state":{encode(self._migrate(int(event["from"]), parse_state(event)), "the migrated state")}'
            except Exception as err:
                self._agent.write(f'{{"method":"migrated","request":{request},"error":{encode(_cut(_describe(err)), "")}}}\n')
                raise
            self._agent.write(f'{{"method":"migrated","request":{request},{answer}}}\n')


def _text(cursor: Any) -> str:
    if cursor == "":
        raise errors.UsageError("a cursor is not empty")
    return as_text(cursor, "a cursor")


def _counts(processed: int | None, failed: int) -> tuple[int, int]:
    if processed is None:
        processed = 0 if failed else 1
    if processed.__class__ is not int or failed.__class__ is not int:
        processed, failed = int(operator.index(processed)), int(operator.index(failed))
    if processed < 0 or failed < 0:
        raise errors.UsageError(f"processed {processed}, failed {failed}: a count is not negative")
    return processed, failed


def _millis(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _cut(error: str | None) -> str | None:
    """Returns what is kept of an error: 1 KiB, as text that can be sent."""
    if error is None:
        return None
    return error.encode(errors="replace")[:1024].decode(errors="ignore") or "no reason given"
