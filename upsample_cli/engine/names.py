"""The engines that a user can choose. No numpy, no torch: options are checked before either is needed."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["auto", "layer", "compiled"]
ENGINES: tuple[EngineName, ...] = ("auto", "layer", "compiled")
