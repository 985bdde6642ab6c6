"""Measures what the package costs, and prints docs/python-benchmarks.md.

Run it under test/python/serve:

MILEPOST_BIN=bin/milepost PYTHONPATH=python/src go run ./test/python/serve -far 2ms python3 python/bench.py > docs/python-benchmarks.md
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable

import milepost

REPOSITORY = Path(__file__).resolve().parents[1]
MARKS, MARK_ROUNDS = 200_000, 9
SAVES, SAVE_ROUNDS = 20, 50


def spread(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f})"


def each(step: Callable[[int], object]) -> float:
    """Returns the microseconds that one of many steps takes."""
    begun = time.perf_counter()
    for number in range(MARKS):
        step(number)
    return (time.perf_counter() - begun) / MARKS * 1e6


def marks(store: str) -> list[str]:
    """Compares job.mark in the caller with a dict update and a line to a pipe, interleaved."""
    read, write = os.pipe()
    drain = subprocess.Popen(["cat"], stdin=read, stdout=subprocess.DEVNULL)
    os.close(read)
    progress: dict[str, int] = {}
    line = b'{"method":"mark","session":1,"cursor":"123456","processed":1,"failed":0}\n'
    took: dict[str, list[float]] = {"a dict update": [], "a line to a pipe": [], "`job.mark(n)`": [], "`job.mark(n)`, and all saved": []}
    with milepost.open("bench/marks", store=store) as job:
        for _ in range(MARK_ROUNDS):
            took["a dict update"].append(each(lambda number: progress.__setitem__("cursor", number)))
            took["a line to a pipe"].append(each(lambda _: os.write(write, line)))
            begun = time.perf_counter()
            took["`job.mark(n)`"].append(each(job.mark))
            job.flush()
            took["`job.mark(n)`, and all saved"].append((time.perf_counter() - begun) / MARKS * 1e6)
    os.close(write)
    drain.wait()
    rows = [f"| {what} | {spread(times, 'µs')} | {1e6 / statistics.median(times):,.0f} |" for what, times in took.items()]
    return ["| in the caller, median of rounds (least to most) | each | a second |", "|---|---|---|", *rows]


class Saver:
    """A Go program that makes a number of saves in a row on request.

    A save may have to wait for background work of the save before it.
    """

    def __init__(self, binary: str, engine: str, place: str, environment: dict[str, str]) -> None:
        command = [binary, engine, place, "bench/go"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env={**os.environ, **environment})
        self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def save(self, pause: int) -> list[float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{SAVES} {pause}\n")
        return [int(took) / 1000 for took in self.line().split()]

    def end(self) -> None:
        self.process.communicate()


class Bare:
    """An agent without the package: each save writes a prepared request and reads a reply.

    No client can be quicker.
    """

    def __init__(self, name: str, store: str) -> None:
        self.process = subprocess.Popen([os.environ["MILEPOST_BIN"], "agent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.write, self.read = self.process.stdin.fileno(), self.process.stdout.fileno()
        for request in ({"id": 1, "method": "hello", "protocol": 1}, {"id": 2, "method": "open", "name": name, "store": store}):
            os.write(self.write, json.dumps(request).encode() + b"\n")
            os.read(self.read, 1 << 16)

    def __enter__(self) -> Bare:
        return self

    def save(self, _: object) -> None:
        os.write(self.write, b'{"id":3,"method":"save","session":1,"state":{"n":1}}\n')
        reply = os.read(self.read, 1 << 16)
        assert b'"version"' in reply, reply

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def saves(
    what: str, engine: str, place: str, store: str, saver: str, pause: int = 0, client: Callable[..., milepost.Job | Bare] = milepost.open, **environment: str
) -> str:
    """Returns a row of the table: saves from Go and Python in turns, each after a pause in ms."""
    go = Saver(saver, engine, place, environment)
    from_go: list[float] = []
    from_python: list[float] = []
    with client("bench/python", store=store) as job:
        for _ in range(SAVE_ROUNDS):
            from_go += go.save(pause)
            for _ in range(SAVES):
                time.sleep(pause / 1000)
                begun = time.perf_counter()
                job.save({"n": 1})
                from_python.append((time.perf_counter() - begun) * 1e6)
    go.end()
    cells = [what]
    for at in (50, 10):
        a, b = (statistics.quantiles(times, n=100)[at - 1] / 1000 for times in (from_go, from_python))
        cells += [f"{a:.2f} ms", f"{b:.2f} ms", f"{b / a:.2f}"]
    return f"| {' | '.join(cells)} |"


def there_and_back(pause: int) -> float:
    """Returns the p50 in ms of a round trip to a process that only echoes, after a pause in ms."""
    took = []
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for _ in range(SAVES * SAVE_ROUNDS):
            time.sleep(pause / 1000)
            begun = time.perf_counter()
            other.stdin.write(b"{}\n")
            other.stdout.read(100)
            took.append((time.perf_counter() - begun) * 1e3)
        other.stdin.close()
    return statistics.median(took)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        saver = str(Path(directory, "saver"))
        subprocess.run(["go", "build", "-o", saver, "./test/python/saver"], cwd=REPOSITORY, check=True)
        file = str(Path(directory, "jobs.db"))
        table = f"bench-{os.getpid()}"
        url = f"dynamodb://{table}?endpoint={os.environ['MILEPOST_TEST_DYNAMODB']}"
        subprocess.run([os.environ["MILEPOST_BIN"], "table", "create", "--store", url], check=True, stdout=subprocess.DEVNULL)
        print("# What the Python package costs\n")
        print(f"Printed by `python/bench.py` on {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.")
        print(f"The load of the machine, with its other work, was {os.getloadavg()[0]:.1f} when this began.\n")
        print("\n".join(marks(f"sqlite:{file}")))
        print("\nA save of a small state through the agent from Python and by the library from Go, alternating, twenty in a\nrow each.\n")
        print("| store | p50 from Go | from Python | ratio | p10 from Go | from Python | ratio |\n|---|---|---|---|---|---|---|")
        print(saves("sqlite", "sqlite", file, f"sqlite:{file}", saver))
        print(saves("sqlite, 2 ms after the last", "sqlite", file, f"sqlite:{file}", saver, pause=2))
        print(saves("sqlite, 2 ms after the last, without the package", "sqlite", file, f"sqlite:{file}", saver, pause=2, client=Bare))
        print(saves("dynamodb", "dynamodb", table, url, saver))
        print(saves("dynamodb, 2 ms after the last", "dynamodb", table, url, saver, pause=2))
        endpoint = os.environ["MILEPOST_FAR_DYNAMODB"]
        far = f"dynamodb://{table}?endpoint={endpoint}"
        print(saves("dynamodb, 2 ms away", "dynamodb", table, far, saver, MILEPOST_TEST_DYNAMODB=endpoint))
        print(saves("dynamodb, 2 ms away, 2 ms after the last", "dynamodb", table, far, saver, pause=2, MILEPOST_TEST_DYNAMODB=endpoint))
        print(
            "\nA save is durable before the copy of its version is, and a save that follows at once waits for that\n"
            "copy, from either language: two writes to the disk. After a pause it is one write, so the way to the\n"
            "agent weighs more, and with a store on this machine the bar of 1.2 is missed. On SQLite no client in\n"
            "Python could keep it: the row without the package is an agent that gets one bare write and answers\n"
            "one bare read. It has to be woken, and its first work finds nothing in the caches. (`cat` has less\n"
            f"to wake: a line to it and back takes {there_and_back(2):.2f} ms after 2 ms, and {there_and_back(0):.2f} ms without a pause.) The\n"
            "package adds the time to write the state as JSON, to read the reply, and to pass it from the thread\n"
            "that reads to the one that waits. Over a network a save takes longer, and the way to the agent does\n"
            "not: hence the last rows, where each reply comes 2 ms later, as DynamoDB's do at best."
        )


if __name__ == "__main__":
    main()
