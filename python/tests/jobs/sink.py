"""The jobs' input, records in order, and output, a file with a line for each processed record."""

import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any, Optional


class Sink:
    def __init__(self, path: str, fail_at: Optional[int] = None) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.fail_at = fail_at

    def records(self, count: int) -> Iterator[dict[str, Any]]:
        for number in range(1, count + 1):
            yield {"id": f"record-{number:06d}", "number": number}

    def process(self, record: dict[str, Any]) -> None:
        if record["number"] == self.fail_at:
            raise ValueError(f"{record['id']} is broken")
        time.sleep(20e-6)  # otherwise a kill would rarely hit the job at work
        os.write(self.file, f"{record['id']} {value(record['id'])}\n".encode())


def value(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:12]


def result(path: str) -> dict[str, str]:
    """Returns the output in which the last of repeated records wins."""
    with open(path) as lines:
        return dict(line.split() for line in lines)
