"""Where the package finds the binary."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Callable

import pytest

import milepost
from conftest import REPOSITORY, Script

SOURCES = REPOSITORY / "python" / "src" / "milepost"
SHOW = "from milepost import binary; print(binary.find()); import milepost; job = milepost.open('x'); job.mark(1); job.close()"


def package(directory: Path, binary: str | None, mode: int = 0o755) -> Path:
    """A copy of the package, as a wheel installs it."""
    shutil.copytree(SOURCES, directory / "milepost", ignore=shutil.ignore_patterns("__pycache__", "bin"))
    if binary is not None:
        (directory / "milepost" / "bin").mkdir()
        shutil.copy(binary, directory / "milepost" / "bin" / "milepost")
        (directory / "milepost" / "bin" / "milepost").chmod(mode)
    return directory


def found(path: Path, **variables: str) -> str:
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(path), **variables}
    if "MILEPOST_BIN" not in variables:
        environment.pop("MILEPOST_BIN", None)
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_binary_is_found_in_the_package_on_path_and_by_milepost_bin(binary: str, tmp_path: Path) -> None:
    packaged, without = package(tmp_path / "packaged", binary), package(tmp_path / "without", None)
    assert found(packaged) == str(packaged / "milepost" / "bin" / "milepost")
    assert found(packaged, MILEPOST_BIN=binary) == binary, "MILEPOST_BIN wins"
    on_path = tmp_path / "on-path"
    on_path.mkdir()
    shutil.copy(binary, on_path / "milepost")
    assert found(without, PATH=f"{on_path}:/usr/bin:/bin") == str(on_path / "milepost")


def test_lost_execute_permission_is_restored(binary: str, tmp_path: Path) -> None:
    packaged = package(tmp_path / "packaged", binary, mode=0o644)
    assert found(packaged) == str(packaged / "milepost" / "bin" / "milepost")


def test_a_binary_in_a_zip_is_unpacked_and_removed_when_the_process_ends(binary: str, tmp_path: Path) -> None:
    packaged = package(tmp_path / "packaged", binary)
    wheel = tmp_path / "milepost.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in packaged.rglob("*"):
            archive.write(file, file.relative_to(packaged))
    unpacked = Path(found(wheel))
    assert unpacked.name == "milepost"
    assert not unpacked.exists()


def test_a_binary_that_cannot_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "milepost"
    broken.write_bytes(b"\x7fELF and no more")
    broken.chmod(0o755)
    monkeypatch.setenv("MILEPOST_BIN", str(broken))
    with pytest.raises(milepost.WrongBinary, match="cannot start"):
        milepost.open("x")


def test_the_script_runs_the_packages_binary_whatever_the_launcher_calls_it(binary: str, tmp_path: Path) -> None:
    # The launcher of Windows removes .exe from sys.argv[0], so no file has that name.
    packaged = package(tmp_path / "packaged", binary)
    code = "import sys; sys.argv = [sys.argv[1], 'version']; from milepost.binary import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(packaged)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "Scripts" / "milepost")], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("milepost ")


@pytest.mark.parametrize("suffix", ["", ".exe"])
def test_the_script_never_runs_itself(tmp_path: Path, suffix: str) -> None:
    without = package(tmp_path / "without", None)
    script = tmp_path / ("milepost" + suffix)
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    code = "import sys; sys.argv = [sys.argv[1]]; from milepost.binary import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(without), "MILEPOST_BIN": str(script)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "milepost")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "contains no binary" in done.stderr


def test_the_job_and_its_agent_leave_no_process_behind(script: Callable[..., Script], write_script: Callable[[str], Path]) -> None:
    out = script(write_script("import milepost\nwith milepost.open('x') as job: print(job._agent._process.pid)\n")).ends_well()
    with pytest.raises(ProcessLookupError):
        os.kill(int(out), 0)
