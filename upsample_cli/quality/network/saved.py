"""Save an unfinished training next to its output, and continue from it."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from upsample_cli.atomic.files import new_file
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.kernels.weights.torch_archives import check_torch_file
from upsample_cli.quality.network.file import whole_tensors
from upsample_cli.quality.network.fit import Plan, Split
from upsample_cli.quality.network.train import Training
from upsample_cli.signals import interrupt_deferred
from upsample_cli.special_files import refuse_special

_SAVE_EVERY_S = 60.0
_MOST_BYTES = 64 * 2**20


def unfinished_path(output: Path) -> Path:
    """The file that holds the unfinished training for an output."""
    return output.with_name(f"{output.name}.training")


def saved_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights in the file of a training."""
    found: dict[str, Tensor] = torch.load(path, weights_only=True)["state"]["average"]
    return found


class Saved:
    """The file of an unfinished training.

    Args:
        path: path of the file.
        split, plan: the photographs and the settings. A training of others is not continued.
    """

    def __init__(self, path: Path, split: Split, plan: Plan) -> None:
        content = repr(plan).encode() + split.equations.gram.tobytes() + split.equations.cross.tobytes()
        self._path, self._mark = path, hashlib.sha256(content).hexdigest()

    def restore(self, training: Training) -> None:
        """Continue from the file, if it exists.

        Args:
            training: a new training of the same photographs and settings.

        Raises:
            ImageError: if the file cannot be read or is damaged.
            UsageError: if it belongs to other photographs or settings.
        """
        try:
            refuse_special(self._path)
            if self._path.stat().st_size > _MOST_BYTES:
                raise ValueError
            check_torch_file(self._path)
            found = torch.load(io.BytesIO(self._path.read_bytes()), weights_only=True)
            mark, state = found["mark"], found["state"]
            if mark == self._mark:
                training.restore(state)
                if training.network.grid is not None:
                    whole_tensors(training.averaged())  # raises an error for numbers that no training has
        except FileNotFoundError:
            return
        except Exception:  # torch raises various errors for damaged files
            cause = "is not an unfinished training, or is damaged"
            raise ImageError(self._path, cause, "remove it to start again", kind="damaged") from None
        if mark != self._mark:
            raise UsageError(
                f"{self._path}: the unfinished training is of other photographs or settings",
                "repeat the command that started it, or remove the file to start again",
            )

    def save(self, training: Training) -> None:
        """Write the file."""
        file = io.BytesIO()
        torch.save({"mark": self._mark, "state": training.state()}, file)
        with new_file(self._path, overwrite=True, follow=False) as written:  # its name is not the user's
            written.write(file.getvalue())

    def remove(self) -> None:
        """Remove the file, because the training is finished."""
        self._path.unlink(missing_ok=True)


def finish(training: Training, saved: Saved, trained: Callable[[float], None]) -> None:
    """Train to the end. The state is saved every minute, when the training is stopped, and at its end.

    It is also saved at the start, so that a file that cannot be written fails before any training.

    Args:
        training: the training; it may have been continued.
        saved: its file.
        trained: called with the number of batches just done.
    """
    saved.save(training)
    last = time.monotonic()
    try:
        while training.step < training.schedule.total:
            with interrupt_deferred():  # a state between two batches is the same as without an interrupt
                training.advance()
            trained(1)
            if time.monotonic() - last > _SAVE_EVERY_S:
                saved.save(training)
                last = time.monotonic()
    except KeyboardInterrupt:
        saved.save(training)
        raise
    saved.save(training)  # what follows may fail
