"""The environment of the commands, in this process and in those that the tests start."""

import os
from pathlib import Path
from typing import NoReturn

TESTS = Path(__file__).parents[1]

# The user's shell settings must not affect a test.
_UNSET = {"FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _UNSET}

FINDS_SUPPORT = {"PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), ENVIRONMENT.get("PYTHONPATH")]))}
"""Added to the environment of a process that imports `support`."""

NOT_COMPILED = "the package was installed without a compiler" if os.name != "nt" else "MSVC compiles no kernels"
"""Why a test of the compiled module is skipped; the first is not allowed in CI."""


def leave(status: int) -> NoReturn:
    """Replaces `os._exit`, with which the commands end once torch is imported."""
    raise SystemExit(status)
