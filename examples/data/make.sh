#!/usr/bin/env bash
# Makes flights.jsonl.zst from the npm package vega-datasets; see README.md.
# Needs npm and python3 with venv. Everything else goes into a temporary directory.
set -euo pipefail

package=vega-datasets@3.2.1
parquet_sha256=dbeb920c90f59b6ccaff823dcc3d08f25a97fa1ce128d93f40be4e931f5900b0

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$work" && npm pack --silent "$package" >/dev/null && tar -xzf vega-datasets-*.tgz package/data/flights-3m.parquet)
echo "$parquet_sha256  $work/package/data/flights-3m.parquet" | sha256sum --check --quiet

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pyarrow==26.0.1 zstandard==0.25.0

"$work/venv/bin/python" - "$work/package/data/flights-3m.parquet" "$here/flights.jsonl.zst" <<'PYTHON'
import hashlib
import json
import sys

import pyarrow.parquet as pq
import zstandard

source, target = sys.argv[1:]
flights = pq.read_table(source).slice(0, 100_000).to_pylist()

dates = [flight["date"] for flight in flights]
assert dates == sorted(dates), "the source is no longer in time order"

lines = [
    json.dumps({
        "id": number,
        "date": flight["date"].isoformat(timespec="minutes"),
        "origin": flight["origin"],
        "destination": flight["destination"],
        "distance": flight["distance"],
        "delay": flight["delay"],
    }, separators=(",", ":"))
    for number, flight in enumerate(flights, start=1)
]
text = "".join(line + "\n" for line in lines).encode()
compressed = zstandard.ZstdCompressor(level=19).compress(text)
with open(target, "wb") as file:
    file.write(compressed)

print("sha256 of the file, and of its text:")
print(hashlib.sha256(compressed).hexdigest())
print(hashlib.sha256(text).hexdigest())
PYTHON
