"""A home-made checkpoint manager over S3, as people write it, with its faults, for comparison."""

import json
from time import time
from typing import Any, Optional

import boto3


class CheckpointManager:
    def __init__(self, bucket: str, prefix: str) -> None:
        self.s3 = boto3.client("s3")
        self.bucket = bucket
        self.prefix = prefix

    def save_checkpoint(self, checkpoint_data: dict[str, Any]) -> bool:
        try:
            key = f"{self.prefix}/checkpoint_{int(time())}.json"
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(checkpoint_data))
        except Exception as error:
            print(f"Could not save the checkpoint: {error}")
            return False
        return True

    def load_latest_checkpoint(self) -> Optional[dict[str, Any]]:
        try:
            listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
            if "Contents" not in listed:
                return None
            latest = max(listed["Contents"], key=lambda item: item["LastModified"])
            found = self.s3.get_object(Bucket=self.bucket, Key=latest["Key"])
            checkpoint: dict[str, Any] = json.loads(found["Body"].read())
        except Exception as error:
            print(f"Could not load the checkpoint: {error}")
            return None
        return checkpoint
