"""Builds wheels that contain the binary: python wheels.py [--out DIR] [PLATFORM…]

Needs Go, and hatchling in this Python. A platform is one of PLATFORMS, or "here";
without any, all of them are built.
"""

from __future__ import annotations

import argparse
import os
import platform
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# GOOS/GOARCH → the tags of a wheel. On Linux the binary is static, so it works with any libc.
PLATFORMS = {
    "linux/amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "linux/arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    "darwin/amd64": "macosx_12_0_x86_64",
    "darwin/arm64": "macosx_12_0_arm64",
    "windows/amd64": "win_amd64",
    "windows/arm64": "win_arm64",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build wheels that contain the binary.")
    parser.add_argument("--out", type=Path, default=HERE / "dist", help="directory for the wheels")
    parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"here, {', '.join(PLATFORMS)} (default: all)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.platforms or PLATFORMS:
        wheel = build(_here() if name == "here" else name, arguments.out)
        sys.stdout.write(f"{wheel}\n")


def build(name: str, out: Path) -> Path:
    """Builds the wheel of one platform."""
    goos, goarch = name.split("/")
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory, "milepost.exe" if goos == "windows" else "milepost")
        env = {**os.environ, "GOOS": goos, "GOARCH": goarch, "CGO_ENABLED": "0"}
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(binary), "./cmd/milepost"]
        subprocess.run(command, cwd=HERE.parent, env=env, check=True)
        env = {**os.environ, "MILEPOST_WHEEL_BINARY": str(binary), "MILEPOST_WHEEL_PLATFORM": PLATFORMS[name]}
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory]
        subprocess.run(command, cwd=HERE, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (made,) = Path(directory).glob("*.whl")
        check(made, f"milepost/bin/{binary.name}")
        return made.replace(out / made.name)


def check(wheel: Path, binary: str) -> None:
    """Checks that the binary is in the wheel and is executable."""
    with zipfile.ZipFile(wheel) as archive:
        mode = archive.getinfo(binary).external_attr >> 16
    if not mode & stat.S_IXUSR:
        sys.exit(f"{wheel.name}: {binary} is not executable in the wheel (mode {mode:o})")


def _here() -> str:
    goos = {"Linux": "linux", "Darwin": "darwin", "Windows": "windows"}[platform.system()]
    goarch = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    return f"{goos}/{goarch}"


if __name__ == "__main__":
    main()
