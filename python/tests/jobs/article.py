"""A job written as in the guide to home-made checkpoints. The tests replace only its import.

usage: article.py BUCKET PREFIX RECORDS OUTPUT [FAIL_AT]
"""

import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from homemade import CheckpointManager
from sink import Sink

CHECKPOINT_FREQUENCY = 1000


def process_data_with_checkpointing(bucket: str, prefix: str, data_source: Iterator[dict[str, Any]], sink: Sink) -> None:
    checkpoint_manager = CheckpointManager(bucket=bucket, prefix=prefix)

    checkpoint = checkpoint_manager.load_latest_checkpoint()
    last_processed_id = checkpoint["last_processed_id"] if checkpoint else None
    records_processed = 0

    try:
        for record in data_source:
            # Skip processed records.
            if last_processed_id and record["id"] <= last_processed_id:
                continue

            sink.process(record)
            records_processed += 1

            if records_processed % CHECKPOINT_FREQUENCY == 0:
                checkpoint_manager.save_checkpoint(
                    {
                        "last_processed_id": record["id"],
                        "timestamp": datetime.now(timezone.utc).isoformat(),
                        "records_processed": records_processed,
                    }
                )
    except Exception as error:
        # Save before raising.
        checkpoint_manager.save_checkpoint(
            {
                "last_processed_id": last_processed_id,
                "timestamp": datetime.now(timezone.utc).isoformat(),
                "records_processed": records_processed,
                "error": str(error),
            }
        )
        raise


if __name__ == "__main__":
    bucket, prefix, records, output = sys.argv[1:5]
    sink = Sink(output, fail_at=int(sys.argv[5]) if len(sys.argv) > 5 else None)
    process_data_with_checkpointing(bucket, prefix, sink.records(int(records)), sink)
