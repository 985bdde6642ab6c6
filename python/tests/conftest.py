"""Fixtures that the tests share.

MILEPOST_BIN names the binary. test/python/serve sets the endpoints.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import zstandard

JOBS = Path(__file__).parent / "jobs"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> str:
    named = os.environ.get("MILEPOST_BIN")
    if named:
        return named
    path = tmp_path_factory.mktemp("bin") / "milepost"
    subprocess.run(["go", "build", "-o", str(path), "./cmd/milepost"], cwd=REPOSITORY, check=True)
    return str(path)


@pytest.fixture(autouse=True)
def store(binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Sets a separate store for each test, and the binary, as the defaults."""
    url = f"sqlite:{tmp_path / 'jobs.db'}"
    monkeypatch.setenv("MILEPOST_BIN", binary)
    monkeypatch.setenv("MILEPOST_STORE", url)
    return url


@pytest.fixture
def milepost_command(binary: str) -> Callable[..., Any]:
    """Runs the command, and returns what it prints as JSON."""

    def run(*arguments: str) -> Any:
        done = subprocess.run([binary, *arguments, "-o", "json"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


class Script:
    """A Python script in a separate process."""

    def __init__(self, path: Path, *arguments: str, **variables: str) -> None:
        examples = [str(REPOSITORY / "examples" / name) for name in ("python", "pyspark", "glue")]
        modules = [*filter(None, [variables.pop("PYTHONPATH_FIRST", "")]), str(JOBS), *examples, *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(modules), **variables}
        self.process = subprocess.Popen([sys.executable, str(path), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def says(self, line: str) -> None:
        """Waits until the script prints the line."""
        assert self.process.stdout is not None
        for said in self.process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"it ended without saying {line!r}: {self.end()}")

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self, patience: float = 900) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=patience)
        return self.process.returncode, out, err

    def ends_well(self) -> str:
        code, out, err = self.end()
        assert code == 0, err
        return out


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    """Starts scripts; kills those that still run when the test ends."""
    started: list[Script] = []

    def start(path: Path, *arguments: str, **variables: str) -> Script:
        started.append(Script(path, *arguments, **variables))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        with one.process:  # closes its pipes
            pass


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / f"script_{uuid.uuid4().hex}.py"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("MILEPOST_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"MILEPOST_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def flights() -> list[str]:
    """The first 10,000 flights of examples/data, as lines of JSON."""
    packed = (REPOSITORY / "examples" / "data" / "flights.jsonl.zst").read_bytes()
    text = zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 26).decode()
    return text.splitlines(keepends=True)[:10_000]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """A separate bucket for each test, on the S3 endpoint that boto3 also finds."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint("MILEPOST_TEST_S3"))
    name = f"milepost-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def table(milepost_command: Callable[..., Any]) -> str:
    """The URL of a separate DynamoDB table for each test."""
    url = f"dynamodb://milepost-{uuid.uuid4().hex}?endpoint={endpoint('MILEPOST_TEST_DYNAMODB')}"
    milepost_command("table", "create", "--store", url)
    return url


def endpoint(variable: str) -> str:
    url = os.environ.get(variable)
    assert url, f"{variable} is not set: run the tests by python/test.sh, or under test/python/serve"
    return url
