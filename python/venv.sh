# shellcheck shell=bash
# test.sh and check.sh source this with the name of a requirements file. It sets venv to an
# environment with these requirements, in the project's cache. Each Python and set of pins has its own.
python=${PYTHON:-python3}
cache=${MILEPOST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/milepost}
key=$("$python" -c 'import glob, hashlib, sys; print(hashlib.sha256("".join([sys.version, sys.prefix, *(open(name).read() for name in sorted(glob.glob("requirements-*.txt")))]).encode()).hexdigest()[:12])')
name=${1#requirements-}
venv=$cache/python-${name%.txt}-$key
if [ ! -e "$venv/ready" ]; then
	rm -rf "$venv"
	"$python" -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$1"
	touch "$venv/ready"
fi

# run_tests BINARY [PYTEST-ARGUMENT…] runs tests against a milepost binary.
run_tests() {
	(cd .. && MILEPOST_BIN=$1 PYTHONPATH=python/src go run ./test/python/serve \
		"$venv/bin/pytest" --quiet --numprocesses 3 --dist worksteal --rootdir python --config-file python/pyproject.toml -p no:cacheprovider --durations 10 "${@:2}")
}
