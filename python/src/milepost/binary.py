"""Finds the ``milepost`` binary."""

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
_PACKAGED = Path(__file__).parent / "bin" / _FILE
_unpacked: str | None = None


def find() -> str:
    """Returns the path of the binary: ``MILEPOST_BIN``, else the one in the package, else the one
    on PATH.

    Raises BinaryNotFound.
    """
    named = os.environ.get("MILEPOST_BIN")
    if named:
        path = shutil.which(named)
        if path is None:
            raise BinaryNotFound(f"MILEPOST_BIN names {named!r}, which is not an executable program")
        return path
    path = _packaged() or shutil.which("milepost")
    if path is None:
        raise BinaryNotFound(
            f"no milepost binary found: none in the package ({_PACKAGED}), MILEPOST_BIN is not set, and none on PATH. "
            "Install the wheel for this platform, which contains the binary, or set MILEPOST_BIN to its path"
        )
    return path


def main() -> None:
    """Runs the command ``milepost``, as a script of the installed package."""
    # Do not search PATH: the milepost there may be this very script.
    path = _packaged() or shutil.which(os.environ.get("MILEPOST_BIN", ""))
    if path is None or _is_this_script(path):
        sys.exit("milepost: the package contains no binary: install the wheel for this platform, or set MILEPOST_BIN to the path of one")
    if sys.platform == "win32":
        sys.exit(subprocess.call([path, *sys.argv[1:]]))
    os.execv(path, [path, *sys.argv[1:]])


def _is_this_script(path: str) -> bool:
    # On Windows the script is an .exe, and its launcher removes that from its name.
    for script in (sys.argv[0], sys.argv[0] + ".exe"):
        try:
            if os.path.samefile(path, script):
                return True
        except OSError:  # there is no such file
            pass
    return False


def _packaged() -> str | None:
    """Returns the path of the binary in the package, or None if there is none that can run."""
    global _unpacked
    if _PACKAGED.is_file() and (os.access(_PACKAGED, os.X_OK) or _made_runnable()):
        return str(_PACKAGED)
    if _unpacked is not None and os.path.exists(_unpacked):
        return _unpacked
    # The package is in a zip (Glue puts the wheels of --extra-py-files on the path as they are), or
    # it was unpacked to a read-only place without execute permission.
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
        _PACKAGED.chmod(_PACKAGED.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        return False
    return os.access(_PACKAGED, os.X_OK)
