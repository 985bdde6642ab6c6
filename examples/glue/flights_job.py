"""A Glue job, ready to upload (docs/glue.md): adds up delays by airport from files of JSON lines.

Arguments: --JOB_NAME (Glue's own), --source, a directory, and --target, a file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from awsglue.utils import getResolvedOptions

import milepost.glue


def flights(source: str) -> Iterator[dict[str, Any]]:
    for path in sorted(Path(source).glob("*.json")):
        with path.open() as lines:
            yield from map(json.loads, lines)


def main() -> None:
    args = getResolvedOptions(sys.argv, ["JOB_NAME", "source", "target"])
    with milepost.glue.open(args, order="integer") as job:
        delays: dict[str, int] = job.state or {}
        for flight in job.remaining(flights(args["source"]), key=lambda flight: int(flight["id"])):
            delays[flight["origin"]] = delays.get(flight["origin"], 0) + flight["delay"]
            if flight["id"] % 1000 == 0:  # saves the state with the cursor, in one step
                job.mark(flight["id"], processed=1000, state=delays)
        Path(args["target"]).write_text(json.dumps(delays, sort_keys=True))


if __name__ == "__main__":
    main()
