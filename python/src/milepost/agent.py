"""One ``milepost agent`` process, and the conversation with it (docs/agent-protocol.md).

Any thread may write lines to the agent. One thread of this package reads everything that the agent
writes, so the agent never waits for a reader and the two pipes cannot block one another.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import io
import itertools
import json
import os
import select
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, Callable, cast

from . import binary, errors
from .version import __version__

__all__ = ["Agent", "encode"]

PROTOCOL = 1

_HELLO_PATIENCE = 30.0  # seconds
_END_PATIENCE = 5.0  # for an agent that was asked to end and has nothing left to save
_REPORT_PATIENCE = 1.0  # for the exit status of an agent that has ended by itself

# Writing at most this many bytes to a pipe cannot be interrupted halfway: 4096 on Linux, 512 on
# macOS.
_ATOMIC: int = getattr(select, "PIPE_BUF", 512)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # json.loads takes three times as long for a reply

_Inbox = SimpleQueue  # holds lines; None: no more will come
Message = Mapping[str, Any]


def encode(value: Any, what: str) -> str:
    """Returns the value as JSON.

    Raises UsageError, which names ``what``, if JSON has no such value.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as err:
        raise errors.UsageError(f"{what} is not JSON: {err}") from err


class Agent:
    """One agent process, which ends with this process.

    ``failure`` is the error that the next call raises, by :meth:`check`: the error of a line that
    has no reply, the loss of the lease, or the end of the agent.
    """

    def __init__(self, on_event: Callable[[Message], None]) -> None:
        """Starts the agent. Raises BinaryNotFound or WrongBinary."""
        self.command = binary.find()
        self.failure: errors.MilepostError | None = None
        self._passing = False  # the failure belongs to one line and is raised once
        self._ended = False  # nothing more will be read
        self._on_event = on_event
        self._write_lock = threading.RLock()  # a signal handler may call write while write runs
        self._long: _LongLine | None = None  # the long line that is being written
        self._ids = itertools.count(1)
        self._waiting: dict[bytes, _Inbox[bytes | None]] = {}  # by the first bytes of the reply's line
        self._max_line = 1 << 20
        self._stopping = False
        try:
            self._process = subprocess.Popen([self.command, "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as err:
            raise errors.WrongBinary(f"cannot start {self.command}: {err}") from err
        self._stdin = cast(io.FileIO, self._process.stdin)  # bufsize=0 returns FileIO
        self._stdout = cast(io.FileIO, self._process.stdout)
        self._fd = self._stdin.fileno()
        self._reader = threading.Thread(target=self._read, name="milepost-agent", daemon=True)
        self._reader.start()
        _live.add(self)
        try:
            self._hello()
        except BaseException:
            self._process.kill()
            self.stop()
            raise

    def _hello(self) -> None:
        try:
            hello = self.call("hello", {"protocol": PROTOCOL, "client": f"python/{__version__}"}, patience=_HELLO_PATIENCE)
        except errors.UsageError as err:
            if "protocols" in err.fields:
                raise errors.WrongBinary(
                    f"{self.command} speaks protocol {err.fields['protocols']}, and this package, milepost {__version__}, "
                    f"speaks protocol {PROTOCOL}: install matching releases of the two",
                    err.fields,
                ) from err
            raise
        except (errors.AgentGone, errors.ProtocolError, errors.Interrupted) as err:
            raise errors.WrongBinary(f"{self.command} is not a milepost binary that this package works with: {err}") from err
        self.version = str(hello.get("version", ""))
        self._max_line = int(hello.get("max_line", self._max_line))

    def call(
        self,
        method: str,
        fields: Mapping[str, Any],
        extra: str = "",
        patience: float | None = None,
        on_event: Callable[[int, Message], None] | None = None,
    ) -> Message:
        """Sends a request and waits for its result. Raises the agent's error, or AgentGone.

        ``extra`` is more of the request, as JSON that begins with a comma. Each event that the
        agent sends about this request before the result goes to ``on_event``, with the request's
        id.
        """
        # Keep the steps few. Between two saves the job runs other code, so each step here costs
        # about ten times what it costs in a tight loop.
        if fields:
            extra = f",{encode(fields, method)[1:-1]}{extra}"
        inbox: _Inbox[bytes | None] = SimpleQueue()
        number = next(self._ids)  # atomic, because a signal handler may call too
        head = _head(number)
        self._waiting[head] = inbox
        try:
            if self._ended:
                raise self._end()
            self.write(f'{{"id":{number},"method":"{method}"{extra}}}\n')
            while True:
                line = inbox.get(True, patience)
                if line is None:
                    raise self._end()
                message = self._parse(line)
                if "event" not in message:
                    break
                if on_event is not None:
                    on_event(number, message)
        except Empty:
            raise errors.Interrupted(f"no answer to {method} within {patience:g} s") from None
        finally:
            del self._waiting[head]
        if "error" in message:
            raise errors.from_reply(message["error"])
        try:
            result: Message = message["result"]
        except KeyError as err:
            raise self._wrong(line, err) from None
        return result

    def send(self, method: str, extra: str) -> None:
        """Sends a request, and waits for nothing. Its reply is dropped."""
        self.write(f'{{"id":{next(self._ids)},"method":"{method}"{extra}}}\n')

    def _parse(self, line: bytes) -> Message:
        """Parses a line that begins as an object."""
        message: Message
        try:
            text = line.decode()
            message, end = _decode(text)
            if text[end:].strip():
                raise ValueError("there is more than one value")
        except ValueError as err:
            raise self._wrong(line, err) from None
        except RecursionError as err:  # a state that a program in another language saved
            raise errors.MilepostError(f"the agent's message is nested too deeply for this Python: {err}") from None
        return message

    def _wrong(self, line: bytes, err: Exception) -> errors.ProtocolError:
        """Ends the conversation with a process that does not speak the protocol."""
        failure = errors.ProtocolError(f"{self.command} does not speak the agent protocol: {err!r} in {line[:200]!r}")
        self.fail(failure)
        self._close_stdin()
        return failure

    def write(self, text: str) -> None:
        """Writes a line.

        Blocks while the agent does not read, which slows a job to the store's pace.
        """
        try:
            line = text.encode()
        except UnicodeEncodeError as err:  # half a surrogate pair
            raise errors.UsageError(f"not valid text: {err.reason}") from err
        with self._write_lock:
            if self._long is not None:
                self._long.settle()
            try:
                if len(line) <= _ATOMIC:
                    os.write(self._fd, line)
                else:
                    self._write_long(line)
            except OSError:
                raise self._end() from None

    def _write_long(self, line: bytes) -> None:
        if len(line) > self._max_line:
            raise errors.UsageError(
                f"a request of {len(line):,} bytes is longer than the agent's limit of {self._max_line:,}: "
                "make the state smaller, or store the data elsewhere and only its name in the state"
            )
        long = _LongLine(self._fd, line)
        if threading.current_thread() is threading.main_thread():
            self._long = long
            while not long.written():
                long = self._long = _LongLine(self._fd, line)
            self._long = None
        else:
            long.write()
        if long.failure is not None:
            raise long.failure

    def _read(self) -> None:
        waiting = self._waiting
        with contextlib.suppress(OSError), io.BufferedReader(self._stdout, 1 << 16) as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # the agent was killed while it wrote
                inbox = waiting.get(line[: line.find(b",")])
                if inbox is not None:
                    inbox.put(line)  # the waiting caller parses the line
                    continue
                try:
                    self._take(line)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
                    self._wrong(line, err)
                    break
        if not self._stopping:
            self.fail(self._gone())
        self._ended = True
        for inbox in list(waiting.values()):
            inbox.put(None)

    def _take(self, line: bytes) -> None:
        """Handles an event, or a reply whose fields come in another order."""
        message = json.loads(line)
        about = message.get("request") if "event" in message else message["id"]
        inbox = self._waiting.get(_head(about)) if about is not None else None
        if inbox is not None:
            inbox.put(line)
        elif "event" in message:
            self._on_event(message)
        elif about is None:
            self.fail(errors.from_reply(message["error"]), passing=True)
        # else the caller was interrupted and no longer waits for this reply

    def fail(self, failure: errors.MilepostError, passing: bool = False) -> None:
        """Keeps the error for the next call, or for all later calls if the error is not passing."""
        if self.failure is None or self._passing:
            self.failure, self._passing = failure, passing

    def check(self) -> None:
        """Raises the failure, if there is one."""
        failure = self.failure
        if failure is None:
            return
        if self._passing:
            self.failure = None
        raise failure

    def stop(self) -> None:
        """Ends the agent, which saves and releases everything still open, and waits for that.

        Calling stop again does nothing.
        """
        self._stopping = True
        self._close_stdin()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the agent finishes its save without this process
            self._process.wait(_END_PATIENCE)
            self._reader.join(_REPORT_PATIENCE)
        _live.discard(self)

    def abandon(self) -> None:
        """Detaches from the agent, which belongs to the parent of this fork."""
        self.failure = errors.AgentGone("this is a fork of the process that holds the lease: open a separate job in the fork")
        self._stopping = True
        self._write_lock = threading.RLock()
        self._long = None
        self._close_stdin()  # otherwise the agent would not notice the end of the parent
        self._stdout.close()
        _live.discard(self)

    def _close_stdin(self) -> None:
        self._fd = -1
        self._stdin.close()

    def _end(self) -> errors.MilepostError:
        """Returns why nothing can be sent to the agent any more."""
        self._reader.join(_REPORT_PATIENCE)
        return self.failure or self._gone()

    def _gone(self) -> errors.MilepostError:
        pid = self._process.pid
        deadline = time.monotonic() + _REPORT_PATIENCE
        while (code := self._process.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        how = "ended" if code is None else f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        return errors.AgentGone(
            f"the milepost agent (pid {pid}) {how}. What was saved is safe; records that were marked after the last save "
            "must be processed again. Open the checkpoint again to go on"
        )


def _head(id: int) -> bytes:
    """Returns the first bytes of the reply to a request."""
    return b'{"id":%d' % id


class _LongLine:
    """A line too long for one atomic write.

    A signal handler that raises could leave such a line half written for good. Handlers run in the
    main thread, so another thread writes the main thread's long lines. A handler may run at any
    moment. It may raise, or write a line itself, which has to wait for the line that it
    interrupted.
    """

    def __init__(self, fd: int, line: bytes) -> None:
        self.failure: OSError | None = None
        self._fd, self._rest = fd, memoryview(line)
        self._begun = self._done = self._dropped = False
        self._claim: SimpleQueue[None] = SimpleQueue()  # the thread that takes it, atomically, writes the line or drops it
        self._claim.put(None)
        self._wake: SimpleQueue[None] = SimpleQueue()

    def written(self) -> bool:
        """Lets another thread write the line, and waits.

        Returns False if a signal handler dropped the line, to write its own line first.
        """
        try:
            _thread.start_new_thread(self.write, ())  # atomic, unlike Thread.start
            self._begun = True
        except RuntimeError:  # the interpreter is shutting down and starts no more threads
            self.write()
        self._wait()
        return not self._dropped

    def write(self) -> None:
        if not self._claimed():
            return
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
        except OSError as err:
            self.failure = err
        self._done = True
        self._wake.put(None)

    def settle(self) -> None:
        """Drops the line if its writer was interrupted before it began; else waits until the line
        is written.
        """
        if not self._begun and self._claimed():
            self._dropped = True
        self._wait()

    def _claimed(self) -> bool:
        try:
            self._claim.get_nowait()
        except Empty:
            return False
        return True

    def _wait(self) -> None:
        while not (self._done or self._dropped):
            with contextlib.suppress(Empty):
                self._wake.get(timeout=0.1)
        self._wake.put(None)  # wakes the interrupted caller, which waits too


_live: weakref.WeakSet[Agent] = weakref.WeakSet()


def _stop_all() -> None:
    for agent in list(_live):
        agent.stop()


def _abandon_all() -> None:
    for agent in list(_live):
        agent.abandon()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
