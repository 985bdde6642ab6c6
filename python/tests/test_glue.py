"""Glue without Glue: its arguments and environment, and the example with a stand-in for awsglue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

import milepost
import milepost.glue
from conftest import REPOSITORY, Script
from milepost.glue import Run, this_run
from milepost.stores import default_store

JOB = REPOSITORY / "examples" / "glue" / "flights_job.py"
STAND_IN = str(Path(__file__).parent / "awsglue_stand_in")


@pytest.mark.parametrize(
    ("args", "argv", "run"),
    [
        ({"JOB_NAME": "etl", "JOB_RUN_ID": "jr_ab"}, [], Run("etl", "jr_ab", 0)),
        ({"JOB_NAME": "etl", "JOB_RUN_ID": "jr_ab_attempt_2"}, [], Run("etl", "jr_ab", 2)),
        (None, ["x.py", "--JOB_NAME", "etl", "--JOB_RUN_ID", "jr_ab_attempt_1", "--verbose"], Run("etl", "jr_ab", 1)),
        (None, ["x.py", "--JOB_NAME=etl", "--JOB_RUN_ID=jr_ab"], Run("etl", "jr_ab", 0)),
        ({"JOB_NAME": "etl"}, ["x.py", "--JOB_RUN_ID", "jr_ab"], Run("etl", "jr_ab", 0)),
        (None, ["x.py"], Run("", "", 0)),
    ],
)  # fmt: skip
def test_which_run_it_is(args: dict[str, str] | None, argv: list[str], run: Run) -> None:
    assert this_run(args, argv) == run


def test_each_attempt_of_a_run_is_a_separate_holder() -> None:
    holders = {this_run({"JOB_NAME": "etl", "JOB_RUN_ID": id}, []).holder for id in ("jr_ab", "jr_ab_attempt_1", "jr_ab_attempt_2", "jr_cd")}
    assert holders == {"etl/jr_ab", "etl/jr_ab_attempt_1", "etl/jr_ab_attempt_2", "etl/jr_cd"}


def test_a_job_is_named_after_the_glue_job_and_its_history_says_which_attempt() -> None:
    with milepost.glue.open({"JOB_NAME": "etl", "JOB_RUN_ID": "jr_ab_attempt_1"}) as job:
        assert job.name == "etl"
        assert (job.holder.id, job.holder.run_id) == ("etl/jr_ab_attempt_1", "jr_ab_attempt_1")
        job.save(cursor=1)
        assert job.history()[0].saved_by.run_id == "jr_ab_attempt_1"
        with pytest.raises(milepost.LeaseHeld) as held:
            milepost.glue.open({"JOB_NAME": "etl", "JOB_RUN_ID": "jr_ab_attempt_2"}, wait=0)
        assert held.value.until is not None
        assert held.value.renewed_at is not None
        assert 55 < (held.value.until - held.value.renewed_at).total_seconds() < 65, "the lease lasts 60 seconds"


def test_the_jobs_parameters_name_store_archive_and_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:{tmp_path / 'other.db'}"
    monkeypatch.setattr("sys.argv", ["x.py", "--milepost_store", url, f"--milepost_archive=file:{tmp_path / 'archive'}"])
    with milepost.glue.open({"JOB_NAME": "etl", "milepost_namespace": "glue"}) as job:
        job.mark(1)
    assert milepost.get("etl", store=url, namespace="glue").cursor == "1"
    assert list((tmp_path / "archive").rglob("latest.json"))
    with milepost.glue.open({"JOB_NAME": "etl"}, store=url, namespace="own") as job:
        assert job.namespace == "own"


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(milepost.UsageError, match="name="):
        milepost.glue.open()
    with milepost.glue.open(name="etl") as job:
        assert job.name == "etl"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"MILEPOST_STORE": "sqlite:x.db"}, "sqlite:x.db"),
        ({"GLUE_VERSION": "5.0", "AWS_REGION": "eu-west-1"}, "dynamodb://milepost?region=eu-west-1"),
        ({"GLUE_PYTHON_VERSION": "3", "AWS_DEFAULT_REGION": "eu-west-2"}, "dynamodb://milepost?region=eu-west-2"),
        ({"GLUE_VERSION": "5.0"}, "dynamodb://milepost"),
        ({"GLUE_VERSION": "5.0", "AWS_REGION": "eu-west-1", "MILEPOST_STORE": "dynamodb://own"}, "dynamodb://own"),
    ],
)  # fmt: skip
def test_the_store_of_a_job_that_names_none(environ: dict[str, str], url: str | None) -> None:
    assert default_store(environ) == url


def test_on_glue_a_file_is_never_the_store_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILEPOST_STORE")
    monkeypatch.setenv("GLUE_VERSION", "5.0")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(milepost.MilepostError, match="region"):
        milepost.open("etl")


def test_the_example_goes_on_in_the_next_attempt(tmp_path: Path, table: str, script: Callable[..., Script], flights: list[str]) -> None:
    source, target = tmp_path / "flights", tmp_path / "delays.json"
    source.mkdir()
    broken = [*flights[:4_500], "{\n", *flights[4_500:]]
    (source / "1.json").write_text("".join(broken))

    def attempt(number: int) -> tuple[int, str, str]:
        run = "jr_ab" + (f"_attempt_{number}" if number else "")
        arguments = ("--JOB_NAME", "delays", "--JOB_RUN_ID", run, "--source", str(source), "--target", str(target))
        return script(JOB, *arguments, MILEPOST_STORE=table, PYTHONPATH_FIRST=STAND_IN, GLUE_VERSION="5.0").end()

    code, _, err = attempt(0)
    assert (code, "JSONDecodeError" in err) == (1, True), err
    failed = milepost.get("delays", store=table)
    assert (failed.cursor, failed.processed, failed.ended) == ("4000", 4000, "error")
    assert failed.last_error.startswith("JSONDecodeError")

    (source / "1.json").write_text("".join(flights))
    code, _, err = attempt(1)
    assert code == 0, err
    done = milepost.get("delays", store=table)
    assert (done.cursor, done.processed, done.ended, done.saved_by.run_id) == ("10000", 10_000, "done", "jr_ab_attempt_1")
    assert json.loads(target.read_text()) == delays(map(json.loads, flights))


def delays(flights: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for flight in flights:
        found[flight["origin"]] = found.get(flight["origin"], 0) + flight["delay"]
    return found


def test_job_run_id_may_not_be_and_need_not_be_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    monkeypatch.syspath_prepend(STAND_IN)
    from awsglue.utils import getResolvedOptions

    argv = ["x.py", "--JOB_NAME", "etl", "--JOB_RUN_ID", "jr_ab"]
    with pytest.raises(argparse.ArgumentError):
        getResolvedOptions(argv, ["JOB_NAME", "JOB_RUN_ID"])
    assert this_run(getResolvedOptions(argv, ["JOB_NAME"]), []) == Run("etl", "jr_ab", 0)
