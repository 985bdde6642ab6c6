"""PySpark in local mode: the driver of examples/pyspark is killed; no row is missing or doubled."""

from __future__ import annotations

import collections
import json
import os
import random
import time
from pathlib import Path
from typing import Callable

import pytest

import milepost
import milepost.spark
from conftest import JOBS, Script

BATCHES = int(os.environ.get("MILEPOST_SPARK_BATCHES", 20))
KILLS = 2 if BATCHES < 100 else 4
FILES, ROWS = BATCHES + 2 * KILLS, 20  # Spark takes a file or two for a micro-batch after it was killed


def split(flights: list[str], source: Path) -> list[int]:
    """Writes a file for each micro-batch. Returns the ids of all flights."""
    source.mkdir()
    for batch in range(FILES):
        (source / f"{batch:04d}.json").write_text("".join(flights[batch * ROWS : (batch + 1) * ROWS]))
    return [json.loads(line)["id"] for line in flights[: FILES * ROWS]]


@pytest.mark.long
def test_the_driver_is_killed_again_and_again_and_no_row_is_missing_or_doubled(
    tmp_path: Path, script: Callable[..., Script], chance: random.Random, flights: list[str]
) -> None:
    source, target = tmp_path / "flights", tmp_path / "output"
    ids = split(flights, source)

    def start(*batch: str) -> Script:
        return script(JOBS / "flights_killed.py", str(source), str(target), *batch, PYSPARK_SUBMIT_ARGS=SUBMIT)

    def written() -> int:
        return sum(1 for path in target.glob("batch-*"))

    # Kill it between the output of a batch and its checkpoint.
    between = chance.randrange(2, 2 + BATCHES // 6)
    code, _, err = start(str(between)).end()
    assert code == -9, err
    assert milepost.get("flights-stream").cursor == str(between - 1)

    # Kill it anywhere.
    for _ in range(KILLS - 1):
        driver = start()
        goal = written() + chance.randrange(2, 2 + BATCHES // 6)
        while written() < goal:
            assert driver.process.poll() is None, driver.end()
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        driver.kill()
    start().ends_well()

    newest = milepost.get("flights-stream")
    listed = list(milepost.spark.outputs(newest))
    assert len(listed) >= BATCHES
    assert newest.cursor == str(len(listed) - 1)
    assert [output.batch for output in listed] == list(range(len(listed)))
    assert len(newest.state["spark_outputs"]) <= KILLS + 1, "one entry for each run of the driver that wrote"
    parts = [part for output in listed for part in (target / output.name).glob("part-*")]
    rows = collections.Counter(json.loads(line)["id"] for part in parts for line in part.read_text().splitlines())
    assert rows == collections.Counter(ids)
    assert written() > len(listed), "the output whose driver died before its checkpoint is there, but does not count"

    # A stream that has lost its checkpointLocation is not taken for the same stream.
    (target / "_stream").rename(tmp_path / "elsewhere")
    code, _, err = start().end()
    assert code == 1
    assert "its checkpointLocation is not the last run's" in err


# These jobs compute little, so compiling them would only cost time.
SUBMIT = (
    "--master local[1] --driver-memory 1g --driver-java-options -XX:TieredStopAtLevel=1 --conf spark.ui.enabled=false "
    "--conf spark.sql.codegen.wholeStage=false pyspark-shell"
)
