"""Where the ``milepost`` binary is."""

from __future__ import annotations

import atexit
import os
import pkgutil
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from .errors import BinaryNotFound

__all__ = ["find", "main"]

_FILE = "milepost.exe" if sys.platform == "win32" else "milepost"
_BESIDE = Path(__file__).parent / "bin" / _FILE
_unpacked: str | None = None


def find() -> str:
    """The path of the binary: ``MILEPOST_BIN``, else the one in the package, else the one on PATH.

    Raises BinaryNotFound.
    """
    named = os.environ.get("MILEPOST_BIN")
    if named:
        path = shutil.which(named)
        if path is None:
            raise BinaryNotFound(f"MILEPOST_BIN names {named!r}, which is no program that can be run")
        return path
    path = _beside() or shutil.which("milepost")
    if path is None:
        raise BinaryNotFound(
            f"no milepost binary: none is in the package ({_BESIDE}), MILEPOST_BIN is not set, and none is on PATH. "
            "Install the wheel of this platform, which carries it, or name one with MILEPOST_BIN"
        )
    return path


def main() -> None:
    """The command ``milepost``, for who has installed the package."""
    # Not the one on PATH: that may be this very script.
    path = _beside() or shutil.which(os.environ.get("MILEPOST_BIN", ""))
    if path is None or os.path.samefile(path, sys.argv[0]):
        sys.exit("milepost: the package carries no binary: install the wheel of this platform, or name one with MILEPOST_BIN")
    if sys.platform == "win32":
        sys.exit(subprocess.call([path, *sys.argv[1:]]))
    os.execv(path, [path, *sys.argv[1:]])


def _beside() -> str | None:
    """The binary that the package carries, where it can be run."""
    global _unpacked
    if _BESIDE.is_file() and (os.access(_BESIDE, os.X_OK) or _made_runnable()):
        return str(_BESIDE)
    if _unpacked is not None and os.path.exists(_unpacked):
        return _unpacked
    # The package lies in a zip (Glue puts the wheels of --extra-py-files on the path as they are), or
    # was unpacked, read-only, by what keeps no run bit.
    try:
        data = pkgutil.get_data("milepost", f"bin/{_FILE}")
    except OSError:
        return None
    if data is None:
        return None
    directory = tempfile.mkdtemp(prefix="milepost-")
    path = os.path.join(directory, _FILE)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, stat.S_IRWXU)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    _unpacked = path
    return path


def _made_runnable() -> bool:
    try:
        _BESIDE.chmod(_BESIDE.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        return False
    return os.access(_BESIDE, os.X_OK)
