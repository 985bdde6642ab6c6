"""examples/python, run as a reader runs it."""

from __future__ import annotations

from typing import Callable

import milepost
from conftest import REPOSITORY, Script

ORDERS = REPOSITORY / "examples" / "python" / "orders.py"


def test_orders_goes_on_where_it_stopped(script: Callable[..., Script]) -> None:
    code, out, err = script(ORDERS, "ord-00006").end()
    assert (code, out.splitlines()[-1], err) == (1, "processed ord-00005", "orders: ord-00006 cannot be processed\n")
    assert milepost.get("orders/eu").last_error == "SystemExit: orders: ord-00006 cannot be processed"

    out = script(ORDERS).ends_well()
    assert out.splitlines() == [*(f"processed ord-{number:05d}" for number in range(6, 11)), "total 550"]
    assert script(ORDERS).ends_well() == "total 550\n", "no record is left"
