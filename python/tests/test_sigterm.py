"""SIGTERM: what was marked is saved before the job has stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import milepost

NAME = "orders"

SCRIPT = """
import signal, sys, time
import milepost

how = sys.argv[1]
told = []
if how == "handler":
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
before = signal.getsignal(signal.SIGTERM)
with milepost.open("orders", every=100_000, interval=3600) as job:
    for number in range(500):
        job.mark(number)
    print("marked", flush=True)
    while not told:
        time.sleep(0.01)
    job.mark("after")
    while milepost.get("orders").cursor != "after":  # the save in the background
        time.sleep(0.01)
    print("told", flush=True)
    sys.stdin.read()
assert signal.getsignal(signal.SIGTERM) is before
print("closed", flush=True)
"""


def start(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "marked\n"
    return process


def cursor() -> str | None:
    try:
        return milepost.get(NAME).cursor
    except milepost.NotFound:
        return None


def test_marks_are_saved_at_sigterm_while_the_programs_handler_lets_the_job_go_on() -> None:
    with start("handler") as process:
        process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 60
        while cursor() not in ("499", "after") and time.monotonic() < end:
            time.sleep(0.01)
        assert process.stdout is not None
        assert process.stdout.readline() == "told\n"
        assert cursor() == "after", "and what is marked later is saved soon"
        assert milepost.get(NAME).ended == "", "the job has not ended"
        out, _ = process.communicate("")
        assert (out, process.returncode) == ("closed\n", 0)


def test_sigterm_ends_a_program_without_a_handler_as_before() -> None:
    with start("default") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
        first = milepost.get(NAME, version=1)
        assert (first.cursor, first.ended) == ("499", ""), "saved before the process has ended"


def test_an_ignored_sigterm_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with milepost.open(NAME):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
