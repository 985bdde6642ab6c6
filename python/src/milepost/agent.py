"""A ``milepost agent`` of our own, and the conversation with it (docs/agent-protocol.md).

Lines go out from whichever thread has something to say; a thread of ours reads all that comes
back, so that the agent never waits for us and the two pipes cannot block one another.
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
_END_PATIENCE = 5.0  # for an agent that was told to end, and has nothing left to save
_REPORT_PATIENCE = 1.0  # for the exit status of an agent that has ended by itself

# A line of so many bytes goes into a pipe whole or not at all, whatever interrupts the write: 4096 on Linux, 512 on macOS.
_ATOMIC: int = getattr(select, "PIPE_BUF", 512)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # json.loads takes three times as long for a reply

_Inbox = SimpleQueue  # of lines; None: no more will come
Message = Mapping[str, Any]


def encode(value: Any, what: str) -> str:
    """The value as JSON. Raises UsageError, naming what it is, where JSON has no such value."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as err:
        raise errors.UsageError(f"{what} is not JSON: {err}") from err


class Agent:
    """One agent process, which ends with this one.

    ``failure`` is an error that the next call has to raise, by :meth:`check`: what came of a line that
    has no reply, the loss of the lease, or the end of the agent.
    """

    def __init__(self, on_event: Callable[[Message], None]) -> None:
        """Starts the agent. Raises BinaryNotFound or WrongBinary."""
        self.command = binary.find()
        self.failure: errors.MilepostError | None = None
        self._passing = False  # the failure is of one line, and raised once
        self._ended = False  # nothing more will be read
        self._on_event = on_event
        self._write_lock = threading.RLock()  # a signal's handler may call us while we write
        self._long: _LongLine | None = None  # on its way
        self._ids = itertools.count(1)
        self._waiting: dict[bytes, _Inbox[bytes | None]] = {}  # by the head of the reply's line
        self._max_line = 1 << 20
        self._stopping = False
        try:
            self._process = subprocess.Popen([self.command, "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as err:
            raise errors.WrongBinary(f"cannot start {self.command}: {err}") from err
        self._stdin = cast(io.FileIO, self._process.stdin)  # as bufsize=0 has them
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
                    f"protocol {PROTOCOL}: install the two in releases that belong together",
                    err.fields,
                ) from err
            raise
        except (errors.AgentGone, errors.ProtocolError, errors.Interrupted) as err:
            raise errors.WrongBinary(f"{self.command} is no milepost that this package goes with: {err}") from err
        self.version = str(hello.get("version", ""))
        self._max_line = int(hello.get("max_line", self._max_line))

    # Out.

    def call(
        self,
        method: str,
        fields: Mapping[str, Any],
        extra: str = "",
        patience: float | None = None,
        on_event: Callable[[int, Message], None] | None = None,
    ) -> Message:
        """Sends a request and waits for its result. Raises what the agent answers, or AgentGone.

        ``extra`` is more of the request, as JSON that begins with a comma. What the agent pushes about the
        request meanwhile goes to ``on_event``, with its id.
        """
        # Few steps: a job does other things between its saves, and each step then takes ten times what it takes in a loop.
        if fields:
            extra = f",{encode(fields, method)[1:-1]}{extra}"
        inbox: _Inbox[bytes | None] = SimpleQueue()
        number = next(self._ids)  # in one step: a signal's handler may call, too
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

    def _parse(self, line: bytes) -> Message:
        """A line that begins as an object."""
        message: Message
        try:
            text = line.decode()
            message, end = _decode(text)
            if text[end:].strip():
                raise ValueError("there is more than one value")
        except ValueError as err:
            raise self._wrong(line, err) from None
        except RecursionError as err:  # a state that a program in another language has saved
            raise errors.MilepostError(f"what the agent says is nested too deeply for this Python: {err}") from None
        return message

    def _wrong(self, line: bytes, err: Exception) -> errors.ProtocolError:
        """Ends the conversation with what is no agent."""
        failure = errors.ProtocolError(f"{self.command} says what no agent says: {err!r} in {line[:200]!r}")
        self.fail(failure)
        self._close_stdin()
        return failure

    def write(self, text: str) -> None:
        """Writes a line. It waits while the agent does not read, which is how a job is held to the store's pace."""
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
                f"a request of {len(line):,} bytes is longer than the {self._max_line:,} that the agent takes: "
                "keep less in the state, or keep it elsewhere and its name in the state"
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

    # In.

    def _read(self) -> None:
        waiting = self._waiting
        with contextlib.suppress(OSError), io.BufferedReader(self._stdout, 1 << 16) as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # the agent was killed as it wrote
                inbox = waiting.get(line[: line.find(b",")])
                if inbox is not None:
                    inbox.put(line)  # it is for who waits to see what it says
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
        """Takes what is no reply, or one with its fields in another order."""
        message = json.loads(line)
        about = message.get("request") if "event" in message else message["id"]
        inbox = self._waiting.get(_head(about)) if about is not None else None
        if inbox is not None:
            inbox.put(line)
        elif "event" in message:
            self._on_event(message)
        elif about is None:
            self.fail(errors.from_reply(message["error"]), passing=True)
        # else its caller was interrupted, and waits no more

    # The end.

    def fail(self, failure: errors.MilepostError, passing: bool = False) -> None:
        """Notes why the next call fails, and if it is not passing, all after it."""
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
        """Ends the agent, which saves and releases what is still open, and waits for that. It can be called again."""
        self._stopping = True
        self._close_stdin()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on saving without us
            self._process.wait(_END_PATIENCE)
            self._reader.join(_REPORT_PATIENCE)
        _live.discard(self)

    def abandon(self) -> None:
        """Leaves the agent to the process that this one was forked from."""
        self.failure = errors.AgentGone("this is a fork of the process that holds the lease: open a job of its own in it")
        self._stopping = True
        self._write_lock = threading.RLock()
        self._long = None
        self._close_stdin()  # or the agent would not see the end of the other process
        self._stdout.close()
        _live.discard(self)

    def _close_stdin(self) -> None:
        self._fd = -1
        self._stdin.close()

    def _end(self) -> errors.MilepostError:
        """Why nothing can be said to the agent any more."""
        self._reader.join(_REPORT_PATIENCE)
        return self.failure or self._gone()

    def _gone(self) -> errors.MilepostError:
        pid = self._process.pid
        deadline = time.monotonic() + _REPORT_PATIENCE
        while (code := self._process.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        how = "ended" if code is None else f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
        return errors.AgentGone(
            f"the milepost agent (pid {pid}) {how}. What was saved is safe; what was marked since is to be done again. Open the checkpoint anew to go on"
        )


def _head(id: int) -> bytes:
    """How the agent begins a reply."""
    return b'{"id":%d' % id


class _LongLine:
    """A line that one write may leave unfinished, and a signal's handler that raises, for good.

    Handlers run in the main thread, so that its long lines are written by another. A handler may come at any
    moment, raise, or write a line of its own, which has to wait for the one that it has interrupted.
    """

    def __init__(self, fd: int, line: bytes) -> None:
        self.failure: OSError | None = None
        self._fd, self._rest = fd, memoryview(line)
        self._begun = self._done = self._dropped = False
        self._claim: SimpleQueue[None] = SimpleQueue()  # whoever takes it, in one step, writes the line or drops it
        self._claim.put(None)
        self._wake: SimpleQueue[None] = SimpleQueue()

    def written(self) -> bool:
        """Has another thread write the line, and waits. False if a handler has dropped it, for its own to come first."""
        try:
            _thread.start_new_thread(self.write, ())  # in one step, unlike Thread.start
            self._begun = True
        except RuntimeError:  # the interpreter is at its end, and starts no more threads
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
        """Drops the line if nobody is to write it, as its own writer was interrupted before; else waits until it is written."""
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
        self._wake.put(None)  # for the one that we have interrupted, and that waits, too


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
