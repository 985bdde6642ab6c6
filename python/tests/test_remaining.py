"""Finding the records that are left to do."""

from __future__ import annotations

from typing import Any

import pytest

import milepost

NAME = "orders"


def left(cursor: Any, records: list[Any], **options: Any) -> list[Any]:
    with milepost.open(NAME, **options) as job:
        job.mark(cursor)
    with milepost.open(NAME, **options) as job:
        return list(job.remaining(records))


def test_at_the_beginning_all_remain() -> None:
    with milepost.open(NAME) as job:
        assert list(job.remaining(["a", "b"])) == ["a", "b"]
        assert list(job.remaining([])) == []


def test_without_an_order_the_cursor_is_found_by_equality() -> None:
    assert left("record-1000", ["record-999", "record-1000", "record-1001", "record-9"]) == ["record-1001", "record-9"]


def test_a_key_may_be_a_number() -> None:
    with milepost.open(NAME) as job:
        job.mark(2)
        records = [{"id": number} for number in (1, 2, 3)]
        assert list(job.remaining(records, key=lambda record: record["id"])) == [{"id": 3}]


def test_after_the_last_record_none_remain() -> None:
    assert left("b", ["a", "b"]) == []


def test_a_cursor_that_no_record_has_is_an_error_and_not_nothing_to_do() -> None:
    with pytest.raises(milepost.CursorNotFound, match=r"none of the 2 records has the key 'x'"):
        left("x", ["a", "b"])


def test_integers_are_compared_as_integers() -> None:
    assert left(999, [7, 998, 1000, 1001], order="integer") == [1000, 1001]


def test_integers_below_zero_come_before_those_above() -> None:
    assert left(-5, ["-6", "-5", "-4", "10"], order="integer") == ["-4", "10"]


def test_text_is_compared_by_its_bytes() -> None:
    assert left("b", ["a", "ba", "ä"], order="text") == ["ba", "ä"]


@pytest.mark.parametrize("record", [1.5, None, b"x", {}])
def test_an_invalid_key_is_an_error(record: Any) -> None:
    with pytest.raises(milepost.UsageError, match="key of a record"):
        left("a", [record])


def test_records_are_taken_one_at_a_time() -> None:
    taken = []

    def records() -> Any:
        for number in range(100):
            taken.append(number)
            yield number

    with milepost.open(NAME) as job:
        for record in job.remaining(records()):
            job.mark(record)
            if record == 2:
                break
    assert taken == [0, 1, 2]
