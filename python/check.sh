#!/usr/bin/env bash
# Checks the Python package: format, lint, types, the oldest Python that its syntax works with, the
# wheel of this platform in an empty environment, and the long tests and PySpark with the binary in
# that wheel. test.sh runs the other tests.
#
# MILEPOST_SPARK_BATCHES is how many micro-batches the Spark test runs.
#
# Needs Go, npm, Java 17 (for PySpark) and a Python with venv, 3.10 or later. The rest is installed into the project's cache.
set -euo pipefail
cd "$(dirname "$0")"
. ./venv.sh requirements-check.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$venv/bin/ruff" format --config pyproject.toml --quiet --check . ../examples/python ../examples/pyspark ../examples/glue
"$venv/bin/ruff" check --config pyproject.toml --quiet . ../examples/python ../examples/pyspark ../examples/glue
"$venv/bin/mypy"
"$venv/bin/vermin" --quiet --no-tips --violations -t=3.9- src wheel_hook.py ../examples/python ../examples/glue

# The wheel, in an environment with nothing else, outside the source tree.
"$venv/bin/python" wheels.py --out "$work/wheel" here
"$python" -m venv "$work/empty"
"$work/empty/bin/pip" install --quiet --disable-pip-version-check --no-index "$work"/wheel/*.whl
cat >"$work/use.py" <<'PYTHON'
import milepost

with milepost.open("wheel") as job:
    for record in job.remaining(["a", "b", "c"]):
        job.mark(record, state={"last": record})
print(milepost.get("wheel").cursor)
PYTHON
use() { (cd "$work" && env -u MILEPOST_BIN PATH=/usr/bin:/bin MILEPOST_STORE="sqlite:$work/$1.db" "${@:2}" "$work/use.py"); }
test "$(use installed "$work/empty/bin/python")" = c
test "$(use zipped env PYTHONPATH="$(echo "$work"/wheel/*.whl)" "$(command -v "$venv/bin/python")")" = c
"$work/empty/bin/milepost" version
echo "the wheel works when installed in an empty environment, and as a zip on the path"

binary=$("$work/empty/bin/python" -c 'from milepost import binary; print(binary.find())')
run_tests "$binary" -m long python/tests
