"""Choose a network by the file of its weights, and measure it before the first pixel.

Torch and spandrel are imported with the first network. A file is read again when it has changed.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upsample_cli.errors import ImageError, UsageError, joined
from upsample_cli.forks import held_at_forks
from upsample_cli.kernels.choice import file_stamp
from upsample_cli.text import short_cause

if TYPE_CHECKING:
    from upsample_cli.models.measuring import Measured
    from upsample_cli.models.network import Network
    from upsample_cli.models.state import ModelFile

_choosing = held_at_forks()


class Model(NamedTuple):
    """What is known about a network. Plain data, which other processes receive.

    Args:
        path: the file of its weights, as the user named it.
        sha256: hash of the file.
        architecture: name of the architecture.
        factor: how many times it enlarges.
        channels: 3 for RGB or 1 for grey.
        parameters: number of its weights.
        licence: what the file says about its licence; "" if nothing.
        measured: how it can be cut.
    """

    path: str
    sha256: str
    architecture: str
    factor: int
    channels: int
    parameters: int
    licence: str
    measured: Measured

    @property
    def class_text(self) -> str:
        """Its class in one line."""
        found = self.measured
        if found.kind == "global":
            return "global: not tileable, because each output depends on the whole image"
        grid = f" on a grid of {found.grid} pixels" if found.grid > 1 else ""
        kind = "window grid, " if found.kind == "window grid" else ""
        return (
            f"{kind}seam-free (measured){grid}: reach {found.reach} pixels, "
            f"tiles and whole differ by at most {found.difference:.1g} of the largest output"
        )

    def whole_bytes(self, height: int, width: int) -> int:
        """Estimated working memory for an image as a whole."""
        return self.measured.bytes_per_pixel * height * width


def model_factor(text: str) -> int:
    """How many times a network enlarges.

    Raises:
        UsageError: if the file is not a network that can be used.
    """
    with _choosing:
        return _built(text, "cpu", file_stamp(Path(text)))[0].factor


def chosen_model(text: str, device: str = "cpu") -> tuple[Network, Model]:
    """The network of a file on a device, and what is known about it. It is measured on the first call.

    Raises:
        UsageError: if the file is not a network that can be used.
    """
    with _choosing:
        return _chosen(text, device, file_stamp(Path(text)))


def loaded_network(model: Model, device: str) -> Network:
    """The network of a model that another process may have measured.

    Raises:
        UsageError: if the file is not the one that was measured.
    """
    with _choosing:
        network, file = _built(model.path, device, file_stamp(Path(model.path)))
    if file.sha256 != model.sha256:
        raise UsageError(f"model {model.path} changed after the run was planned", "start the run again")
    return network


@functools.lru_cache(maxsize=2)
def _built(text: str, device: str, _stamp: tuple[int, int]) -> tuple[Network, ModelFile]:
    from upsample_cli.models.state import read_model_file

    try:
        file = read_model_file(Path(text))
        from upsample_cli.models.network import built_network

        return built_network(file, device), file.without_tensors()
    except ImageError as error:  # a fault of the run, not of one image
        raise UsageError(joined(f"model {error.path}: ", error.cause), error.next_step) from error


@functools.lru_cache(maxsize=2)
def _chosen(text: str, device: str, stamp: tuple[int, int]) -> tuple[Network, Model]:
    from upsample_cli.models.measuring import measured

    network, file = _built(text, device, stamp)
    try:
        found = measured(network)
    except Exception as error:  # weights that fit together may still fail when they run
        cause = f"model {text}: {network.architecture} cannot run: {short_cause(error)}"
        raise UsageError(cause, "give another network") from error
    return network, Model(
        path=text,
        sha256=file.sha256,
        architecture=network.architecture,
        factor=network.factor,
        channels=network.channels,
        parameters=network.parameters,
        licence=file.licence,
        measured=found,
    )
