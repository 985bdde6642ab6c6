"""The PySpark example, with its driver killed between the output of one batch and the checkpoint.

usage: flights_killed.py INPUT OUTPUT [BATCH]
"""

import os
import signal
import sys
from typing import Any, Callable

import flights

import milepost.spark

source, target, *batch = sys.argv[1:]
wrap = milepost.spark.foreach_batch


def killed_after_writing(job: milepost.Job, write: Callable[[Any, milepost.spark.Output], object]) -> Callable[[Any, int], None]:
    def write_and_die(df: Any, output: milepost.spark.Output) -> None:
        write(df, output)
        if batch and output.batch == int(batch[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    return wrap(job, write_and_die)


milepost.spark.foreach_batch = killed_after_writing
flights.run(source, target)
