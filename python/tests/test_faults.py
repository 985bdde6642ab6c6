"""The table in docs/glue.md of what each manager loses is what this measures."""

from __future__ import annotations

from typing import Callable

import pytest

from conftest import JOBS, REPOSITORY, Script


@pytest.mark.long
def test_the_table_of_the_guide_is_what_is_measured(bucket: str, script: Callable[..., Script]) -> None:
    assert bucket  # the fixture sets the S3 endpoint
    table = script(JOBS / "faults.py").ends_well()
    assert table in (REPOSITORY / "docs" / "glue.md").read_text(), table
