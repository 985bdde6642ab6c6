"""Puts the binary for one platform into a wheel and sets the platform's tag (see wheels.py)."""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Without MILEPOST_WHEEL_BINARY the wheel has no binary and is for any platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        binary = os.environ.get("MILEPOST_WHEEL_BINARY")
        if not binary or version == "editable":
            return
        name = "milepost.exe" if binary.endswith(".exe") else "milepost"
        build_data["force_include"][binary] = f"milepost/bin/{name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ['MILEPOST_WHEEL_PLATFORM']}"
