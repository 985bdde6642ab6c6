"""A job that goes on where it stopped. Run it again after it fails or is killed.

python orders.py [ID-THAT-FAILS]
"""

from __future__ import annotations

import sys

import milepost

ORDERS = [{"id": f"ord-{number:05d}", "amount": number * 10} for number in range(1, 11)]


def main(broken: str = "") -> None:
    with milepost.open("orders/eu") as job:
        total = (job.state or {"total": 0})["total"]
        for order in job.remaining(ORDERS, key=lambda order: str(order["id"])):
            if order["id"] == broken:
                raise SystemExit(f"orders: {broken} cannot be processed")
            total += order["amount"]
            print(f"processed {order['id']}")
            job.mark(str(order["id"]), state={"total": total})
        print(f"total {total}")


if __name__ == "__main__":
    main(*sys.argv[1:])
