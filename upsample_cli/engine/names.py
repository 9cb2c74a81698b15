"""The names of the engines that a user can choose. No numpy, no torch, because options are checked without them."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["auto", "layer", "compiled"]
ENGINES: tuple[EngineName, ...] = ("auto", "layer", "compiled")
