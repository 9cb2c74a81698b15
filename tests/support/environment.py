"""The environment of the commands, in processes that the tests start and in this one."""

import os
from pathlib import Path
from typing import NoReturn

TESTS = Path(__file__).parents[1]

# Settings of the user's shell must not decide a test.
_UNSET = {"FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _UNSET}

FINDS_SUPPORT = {"PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), ENVIRONMENT.get("PYTHONPATH")]))}
"""Added to the environment of a process that imports `support`."""


def leave(status: int) -> NoReturn:
    """In place of `os._exit`, by which the commands leave once torch is imported."""
    raise SystemExit(status)
