"""Finds the records that are left to do."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, Callable, TypeVar

from .errors import CursorNotFound, UsageError

__all__ = ["as_text", "remaining"]

Record = TypeVar("Record")


def remaining(
    records: Iterable[Record],
    key: Callable[[Record], str | int] | None,
    cursor: str | None,
    order: str | None,
    check: Callable[[], None],
) -> Iterator[Record]:
    """Yields the records after the cursor. Calls ``check`` before each; check raises to stop."""
    every = iter(records)
    if cursor is not None and order is None:
        _skip_through(every, key, cursor, check)
    above: Callable[[str], bool] | None = None
    if cursor is not None and order is not None:
        above = _above(cursor, order)
    for record in every:
        check()
        if above is None or above(_key(record, key)):
            yield record


def _skip_through(records: Iterator[Any], key: Callable[[Any], str | int] | None, cursor: str, check: Callable[[], None]) -> None:
    seen = 0
    for record in records:
        check()
        if _key(record, key) == cursor:
            return
        seen += 1
    raise CursorNotFound(
        f"none of the {seen:,} records has the key {cursor!r}, at which the last run stopped, so the records that remain are not known. "
        "If the input holds only newer records, open with order='integer' or order='text'"
    )


def _above(cursor: str, order: str) -> Callable[[str], bool]:
    if order == "integer":
        low = int(cursor)
        return lambda key: int(key) > low
    least = cursor.encode()
    return lambda key: key.encode() > least


def _key(record: Any, key: Callable[[Any], str | int] | None) -> str:
    return as_text(record if key is None else key(record), "the key of a record")


def as_text(cursor: Any, what: str) -> str:
    """Returns a cursor or key as the text that is stored.

    Raises UsageError if it is neither text nor an integer.
    """
    if isinstance(cursor, str):
        return cursor
    try:
        return str(operator.index(cursor))
    except TypeError:
        raise UsageError(f"{what} must be text or an integer, not {cursor!r}") from None
