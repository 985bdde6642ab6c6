"""A Spark stream whose output and checkpoint agree, whenever the driver is killed.

    python flights.py run INPUT OUTPUT      read new files of JSON lines from INPUT, a micro-batch each
    python flights.py count OUTPUT          count what is in the output, by airport

It needs the packages milepost and pyspark. The store is MILEPOST_STORE, else a file in your state
directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit

import milepost
import milepost.spark

NAME = "flights-stream"
SCHEMA = "id long, date string, origin string, destination string, distance long, delay long"


def session() -> SparkSession:
    return SparkSession.builder.appName(NAME).config("spark.sql.shuffle.partitions", 1).getOrCreate()


def run(source: str, target: str) -> None:
    def write(flights: DataFrame, output: milepost.spark.Output) -> None:
        # Executors get the epoch, a number. The job itself stays on the driver.
        flights.withColumn("epoch", lit(output.epoch)).write.mode("overwrite").json(f"{target}/{output.name}")

    with milepost.open(NAME) as job:
        stream = session().readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(source)
        (
            stream.writeStream.foreachBatch(milepost.spark.foreach_batch(job, write))
            .option("checkpointLocation", f"{target}/_stream")
            .trigger(availableNow=True)
            .start()
            .awaitTermination()
        )


def counted(target: str) -> DataFrame:
    """Returns the rows that count: those of the outputs that the checkpoint lists."""
    names = [output.name for output in milepost.spark.outputs(milepost.get(NAME))]
    return session().read.schema(f"{SCHEMA}, epoch long").json([str(Path(target, name)) for name in names])


def count(target: str) -> None:
    counted(target).groupBy("origin").count().orderBy("count", ascending=False).show(10)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"] and len(sys.argv) == 4:
        run(*sys.argv[2:])
    elif sys.argv[1:2] == ["count"] and len(sys.argv) == 3:
        count(sys.argv[2])
    else:
        sys.exit(__doc__)
