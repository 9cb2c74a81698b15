"""The environment of the processes that the tests start."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]

# Settings of the user's shell must not decide a test.
_UNSET = {"FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _UNSET}

FINDS_SUPPORT = {"PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), ENVIRONMENT.get("PYTHONPATH")]))}
"""Added to the environment of a process that imports `support`."""
