"""The machine, and the versions of everything that a benchmark may measure."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import zlib
from pathlib import Path

_COMMANDS = {"libvips": ("vips", "--version"), "GraphicsMagick": ("gm", "version"), "ffmpeg": ("ffmpeg", "-version")}


def machine() -> dict[str, str]:
    """The machine and the versions of the measured programs and libraries, as far as they are installed."""
    import cv2
    import numpy as np
    import PIL
    import torch

    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "zlib": _deflaters(),
        **{name: _version(command) for name, command in _COMMANDS.items() if shutil.which(command[0])},
        "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    models = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _deflaters() -> str:
    """What inflates and deflates, for each library that has its own."""
    import cv2
    import imagecodecs
    import isal
    from PIL import features

    is_ng = features.version("zlib_ng")
    built = re.search(r"ZLib:.*\(ver ([\d.]+)", cv2.getBuildInformation())
    found = {
        "Python": zlib.ZLIB_RUNTIME_VERSION,
        "Pillow": f"zlib-ng {is_ng}" if is_ng else features.version("zlib"),
        "OpenCV": built[1] if built else "unknown",
        "imagecodecs": imagecodecs.zlib_version().removeprefix("zlib "),
        "isal": isal.__version__,
    }
    return "; ".join(f"{name} {version}" for name, version in found.items())


def _version(command: tuple[str, ...]) -> str:
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+(\.\d+)+", printed)
    return found[0] if found else "unknown"
