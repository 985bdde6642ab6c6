"""A job: one session of one checkpoint, from open to close."""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from types import TracebackType
from typing import Any, Callable, NoReturn, TypeVar

from . import errors
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
"""In place of a state: it has not changed. (None is a state: null.)"""


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
    """Acquires a checkpoint's lease, loads its newest version, and begins a job there. Use it in a ``with``.

    Durations are in seconds. What is None has the default of docs/agent-protocol.md, where each option is described.

    store: URL, ``dynamodb://TABLE?region=…`` or ``sqlite:PATH``; default: MILEPOST_STORE, on Glue the table
        ``milepost`` in the job's region, elsewhere a file in the user's state directory.
    archive: URL of where large states and a mirror of the versions lie, ``s3://BUCKET/PREFIX?region=…`` or ``file:DIR``, or ``none``;
        default: MILEPOST_ARCHIVE.
    wait: how long to wait for a lease that is held. The default is enough for a run that has just been killed
        to have released it.
    on_wait: called with each holder that is waited for.
    yields: agree to hand over when asked; look at ``Job.handoff_wanted`` then.
    migrate: called with the schema that was found and its state; returns the state for this schema.
    order: ``integer`` or ``text``: cursors never go backward, and ``Job.remaining`` compares them.
    expect_every: how often the job saves at least, so that ``milepost monitor``, ``stale`` and ``status`` notice its silence, from
        ``expect_grace`` later on. What a person has said with ``milepost expect`` stays.

    Raises LeaseHeld, Refused, StoreUnreachable and others of this package's errors; then nothing is held.
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
    """The newest version of a checkpoint, or one that is named. It takes no lease.

    Raises NotFound and others of this package's errors.
    """
    target = {"name": name, "store": store or default_store(), "archive": archive, "namespace": namespace, "version": version}
    agent = Agent(lambda _: None)
    try:
        return parse_checkpoint(agent.call("get", {field: value for field, value in target.items() if value is not None}))
    finally:
        agent.stop()


class Job:
    """A job that holds its checkpoint's lease. :func:`open` makes one.

    It may be used from several threads, not from a forked process, and it cannot be pickled. When the
    lease is lost, the next call raises LeaseLost; ``lost`` tells in between.
    """

    name: str
    namespace: str
    epoch: int
    """The fencing token, for what this job writes elsewhere. It is a plain number, to be sent wherever it is needed."""
    holder: Holder
    version: int
    """The newest version that is known to be saved; 0: none yet."""
    resumed: Checkpoint | None
    """The version that the job resumed from, without its state; None at a fresh start."""
    cursor: str | None
    """Where the job stands: as loaded, then as marked last. None: at the beginning."""
    processed: int
    failed: int
    state: Any
    """As loaded, then as given last to mark or save. To change it in place changes nothing that is saved."""

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
        self._over: set[int] = set()  # sessions that were closed, of which an event may be on its way
        self._agent = Agent(self._on_event)
        try:
            self._open()
        except BaseException:
            self._closed = True
            self._agent.stop()  # which gives up an open that waits
            raise

    def _open(self) -> None:
        self.lost: errors.LeaseLost | None = None
        """Why the lease is no longer this job's; None while it is."""
        self.handoff_wanted: float | None = None
        """The seconds in which another run asks to have the lease, once it does; None until then."""
        result = self._agent.call("open", self._fields, on_event=self._while_opening)
        self._session = int(result["session"])
        self._within = f',"session":{self._session}'  # of a request
        self._mark = f'{{"method":"mark"{self._within},"cursor":"'
        self.namespace, self.name = str(result["namespace"]), str(result["name"])
        self.epoch, self.version = int(result["epoch"]), int(result["version"])
        self.holder = parse_holder(result["holder"])
        self.cursor = str(result["cursor"]) or None
        self.processed, self.failed = int(result["processed"]), int(result["failed"])
        self.state = parse_state(result)
        self.resumed = parse_checkpoint(result["resumed"]) if "resumed" in result else None
        self._base = self.version

    # Saying how far it is.

    def mark(self, cursor: str | int, processed: int | None = None, failed: int = 0, state: Any = UNCHANGED) -> None:
        """Everything up to and including the record at ``cursor`` is done with.

        The counts are added to the checkpoint's; without either, one record was processed. A state replaces the
        one before, in the same step. It is saved in the background, every 1,000 records or 10 seconds unless
        open said otherwise, when the job ends however it ends, and by :meth:`flush`. It waits for the store only
        while too many records are unsaved. Raises LeaseLost if the lease is lost, AgentGone, UsageError.
        """
        # One of hundreds of thousands a second: no call that can be spared, and no field that the agent adds by itself.
        agent = self._agent
        if agent.failure is not None or self._closed:
            self._check()
        if cursor.__class__ is int:
            cursor = text = str(cursor)  # with nothing to escape
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
        """Saves, with a last mark if there is a cursor, and returns the new version when it is durable.

        On an error other than the loss of the lease the session goes on, with cursor, counts and state as marked.
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
        """Takes over where the agent stands, who may have taken a mark whose save failed."""
        marked = self._call("info", {"session": self._session})
        self.cursor = str(marked["cursor"]) or None
        self.processed, self.failed = int(marked["processed"]), int(marked["failed"])
        self.state = parse_state(self._call("state", {"session": self._session}))

    def flush(self) -> int:
        """Saves what was marked, if anything was, and returns the newest version when it is durable."""
        self._check()
        self.version = int(self._call("flush", {"session": self._session})["version"])
        return self.version

    def _marked(self, cursor: str | None, processed: int, failed: int, state: Any) -> None:
        self.cursor = cursor
        self.processed += processed
        self.failed += failed
        if state is not UNCHANGED:
            self.state = state

    def remaining(self, records: Iterable[Record], key: Callable[[Record], str | int] | None = None) -> Iterator[Record]:
        """The records that come after the cursor; without a key, a record is its own.

        The records come in the same order each time. If open has declared an ``order``, those above the cursor
        remain. If not, keys are only tested for being equal, so that no order is guessed (as text, record-1000 comes
        before record-999): those after the one at the cursor remain, and if none is at the cursor, it raises
        CursorNotFound. It raises LeaseLost when the lease is lost.
        """
        return remaining(records, key, self.cursor, self._fields.get("order"), self._check)

    # Looking back.

    def history(self, limit: int = 100) -> list[Checkpoint]:
        """The newest versions, newest first, without their states."""
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
        """One version with its state; without a number, the newest. Raises NotFound."""
        self._check(lost=False)
        asked = {} if version is None else {"version": version}
        return parse_checkpoint(self._call("get", {**self._target(), **asked}))

    def rollback(self, to: int | None = None, reason: str | None = None) -> int:
        """Makes a new version with the content of version ``to``, goes on from there, and returns its number.

        Without a number, it undoes this run: the version that it resumed from, or the beginning. The lease is
        released and acquired anew meanwhile; where another run takes it in between, it raises LeaseHeld and the
        job is closed. Where there is no such version it raises NotFound, and nothing was done.
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

    # The end.

    def close(self, error: str | None = None, ended: str | None = None) -> None:
        """Saves what was marked, says in that version how the job ended, and releases the lease.

        ``error`` is kept as the last error. ``ended`` is ``done``, ``error``, ``yielded`` or ``stopped``. To close again does
        nothing. Raises LeaseLost if the lease was lost before; the job is closed all the same.
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

    # The conversation.

    def _target(self) -> dict[str, Any]:
        where: dict[str, Any] = {field: self._fields[field] for field in ("store", "archive") if field in self._fields}
        return {"name": self.name, "namespace": self.namespace, **where}

    def _call(self, method: str, fields: Mapping[str, Any], extra: str = "") -> Message:
        return self._agent.call(method, fields, extra)

    def _check(self, lost: bool = True) -> None:
        """Raises what stands in the way of another call; with lost=False, of one that needs no lease."""
        if self._closed:
            raise errors.UsageError(f"the job {self.name} is closed")
        if lost or self.lost is None:
            self._agent.check()

    def _on_event(self, event: Message) -> None:
        # It may come before the open that it follows has returned.
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
    """What is kept of an error, 1 KiB, as text that can be sent."""
    if error is None:
        return None
    return error.encode(errors="replace")[:1024].decode(errors="ignore") or "no reason given"
