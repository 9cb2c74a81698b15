"""Runs the `upsample` command for the tests, in this process or in a new one; makes and reads images."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from support.environment import ENVIRONMENT, leave
from support.oracles import hostile_pixels
from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.executors import executor_for
from upsample_cli.batch.record.record import RECORD_NAME
from upsample_cli.batch.threads import ThreadExecutor
from upsample_cli.cli import session
from upsample_cli.cli.upsample import main

# The installed script may belong to another checkout.
COMMAND = [sys.executable, "-c", "from upsample_cli.cli.upsample import main; main()"]


@dataclass(frozen=True)
class CommandResult:
    """The status and output of a finished run."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The document of `--json`; stdout must contain nothing else."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """The error lines without "error: "; every other line on stderr must be a warning."""
        lines = self.err.splitlines()
        assert all(line.startswith(("error: ", "warning: ")) for line in lines), self.err
        return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


class Watched:
    """A watcher that records its events."""

    def __init__(self):
        self.events = []

    def started(self, job):
        self.events.append(("started", job.input.name))

    def advanced(self, job, rows):
        self.events.append(("advanced", job.input.name, rows))

    def ended(self, job):
        self.events.append(("ended", job.input.name))


def in_threads(
    jobs, options, *, token, watcher, workers=None, timeout_s=None, is_alone=False, expects_more=False, debug=False,
    cluster=None, warn=None,
):  # fmt: skip
    """Replaces `executor_for` with threads: worker processes would import torch and would not see patches.

    A timeout and a cluster need other processes, so they use the real function.
    """
    if timeout_s is not None or cluster is not None:
        return executor_for(
            jobs, options, token=token, watcher=watcher, workers=workers, timeout_s=timeout_s, is_alone=is_alone,
            expects_more=expects_more, debug=debug, cluster=cluster, warn=warn,
        )  # fmt: skip
    return ThreadExecutor(Carrier(is_alone, debug), options, watcher=watcher, token=token)


def upsample(*arguments: object, terminal: int | None = None, **environment: str) -> CommandResult:
    """Run the command in this process, with its error handler: quick, because torch is imported once.

    Args:
        terminal: descriptor to use as stdout and stderr, which are then not captured.
        environment: variables to set.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, ENVIRONMENT | environment, clear=True),
        mock.patch.object(sys, "argv", ["upsample", *map(str, arguments)]),
        mock.patch.object(os, "_exit", leave),
        mock.patch.object(session, "executor_for", in_threads),
        contextlib.ExitStack() as streams,
    ):
        shown = None if terminal is None else streams.enter_context(open(terminal, "w", closefd=False))
        streams.enter_context(contextlib.redirect_stdout(shown or out))
        streams.enter_context(contextlib.redirect_stderr(shown or err))
        try:
            main()
        except SystemExit as leaving:
            return CommandResult(int(leaving.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("the command did not exit")


def upsample_process(*arguments: str, first: str = "") -> CommandResult:
    """Run the command in a new process after the Python statements `first`, which set limits."""
    become = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
    limited = [sys.executable, "-c", f"{first}\n{become}"] if first else []
    command = [*limited, *COMMAND, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=120)
    return CommandResult(done.returncode, done.stdout, done.stderr)


def save(
    path: str | Path, size: tuple[int, int] = (11, 17), mode: str = "RGB", *, seed: int = 0, **settings: Any
) -> Path:
    """Save an image of noise and extremes; `size` is (height, width). Returns its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = hostile_pixels((*size, channels), dtype, seed)
    squeezed = pixels[..., 0] if channels == 1 else pixels
    if mode == "1":
        image = Image.fromarray(squeezed).convert("1", dither=Image.Dither.NONE)
    elif mode == "P":
        image = Image.fromarray(squeezed % 7, "P")
        image.putpalette(hostile_pixels((7, 1, 3), np.uint8, seed + 1).tobytes())
    else:
        image = Image.fromarray(squeezed) if mode == "I;16" else Image.frombytes(mode, size[::-1], squeezed.tobytes())
    image.save(path, **settings)
    return path


def pixels_of(path: str | Path, mode: str | None = None) -> np.ndarray:
    """The decoded pixels (height, width, channels), converted to `mode` first."""
    with Image.open(path) as image:
        pixels = np.array(image if mode is None else image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def tree(folder: str | Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, hidden files included, without the record; links are not followed."""
    return {name: Path(folder, name).read_bytes() for name in names(folder)}


def names(folder: str | Path) -> list[str]:
    """The files below a folder, hidden files included, without the record."""
    found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names if name != RECORD_NAME)
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())
