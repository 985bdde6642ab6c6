#!/usr/bin/env bash
# Runs the tests of the Python package, except the long ones and those of Spark, against the command of
# this tree.
#
#   python/test.sh [PYTEST-ARGUMENT…]
#
# Needs Go, npm and a Python with venv, 3.10 or later. The rest is installed into the project's cache.
set -euo pipefail
cd "$(dirname "$0")"
. ./venv.sh requirements-test.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd .. && CGO_ENABLED=0 go build -trimpath -o "$work/milepost" ./cmd/milepost)
run_tests "$work/milepost" -m 'not long' "${@:-python/tests}"
