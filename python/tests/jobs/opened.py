"""The job of article.py, written with milepost.open.

usage: opened.py NAME RECORDS OUTPUT [FAIL_AT]
"""

import sys
from collections.abc import Iterator
from typing import Any

from sink import Sink

import milepost


def process_data_with_checkpointing(name: str, data_source: Iterator[dict[str, Any]], sink: Sink) -> None:
    with milepost.open(name) as job:
        for record in job.remaining(data_source, key=lambda record: str(record["id"])):
            sink.process(record)
            job.mark(record["id"])


if __name__ == "__main__":
    name, records, output = sys.argv[1:4]
    sink = Sink(output, fail_at=int(sys.argv[4]) if len(sys.argv) > 4 else None)
    process_data_with_checkpointing(name, sink.records(int(records)), sink)
