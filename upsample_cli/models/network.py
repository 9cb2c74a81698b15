"""A network that spandrel has built from a state dictionary, as a function of images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch

from upsample_cli.engine.devices import device_support
from upsample_cli.errors import STOPS, ImageError, Setting, UsageError
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.models.meter import Meter
from upsample_cli.models.state import ModelFile
from upsample_cli.text import short_cause

_MOST_TIMES, _SPARE_BYTES = 4, 2**28
"""The memory in which a network is built: so many times that of its weights, and so much for tables and masks."""

_MOST_CALLS = 2**20
"""The most operators for building one. The largest published networks take some 10,000."""


class NotFiniteError(ValueError):
    """A network made infinities or NaN."""

    def __init__(self) -> None:
        super().__init__("it makes infinities or NaN")


class Network:
    """A network as a function of images: float32 tensors (1, channels, height, width) of values from 0 to 1.

    Args:
        descriptor: spandrel's `ImageModelDescriptor`.
        device: the device on which it computes.
    """

    def __init__(self, descriptor: Any, device: str = "cpu") -> None:
        self.device = device
        self._descriptor = descriptor.to(torch.device(device)).eval()
        descriptor.model.float().requires_grad_(False).register_forward_hook(self._look_at)
        self._is_finite, self._keeps, self._lock = True, False, Lock()
        self._kept: Any = None
        self.architecture: str = descriptor.architecture.name
        self.factor: int = descriptor.scale
        self.channels: int = descriptor.input_channels
        self.parameters = sum(parameter.numel() for parameter in descriptor.model.parameters())
        needs = descriptor.size_requirements
        self.minimum: int = needs.minimum
        self.multiple: int = needs.multiple_of
        self.is_square: bool = needs.square

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """The enlarged image, with values from 0 to 1. spandrel pads it to the size that the network needs, and crops.

        Raises:
            NotFiniteError: if a value is not finite.
        """
        with self._lock:
            self._is_finite = True
            made = self._forward(image)
            if not (self._is_finite and made.isfinite().all()):
                raise NotFiniteError
            return made

    def unclamped(self, image: torch.Tensor) -> torch.Tensor:
        """The enlarged image before its values are limited to 0 to 1."""
        height, width = (side * self.factor for side in image.shape[-2:])
        with self._lock:
            self._keeps = True
            try:
                clamped, kept = self._forward(image), self._kept
            finally:
                self._keeps, self._kept = False, None
        if isinstance(kept, torch.Tensor) and kept.shape[:-2] == clamped.shape[:-2] and kept.shape[-1] >= width:
            return kept[..., :height, :width]
        return clamped

    @contextmanager
    def pooled_pixels(self) -> Iterator[list[int]]:
        """A list of how many values of a channel each average pooling to one value takes inside a `with` block."""
        pooled: list[int] = []

        def count(_module: Any, given: Any, _made: Any) -> None:
            pooled.append(given[0].shape[-2] * given[0].shape[-1])

        with ExitStack() as hooks:
            for module in self._descriptor.model.modules():
                if isinstance(module, torch.nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
                    hooks.callback(module.register_forward_hook(count).remove)
            yield pooled

    @torch.inference_mode()
    def _forward(self, image: torch.Tensor) -> torch.Tensor:
        with self._full_precision():
            made: torch.Tensor = self._descriptor(image.to(self.device))
        expected = (1, self.channels, *(side * self.factor for side in image.shape[-2:]))
        if made.shape != expected:
            raise ValueError(f"its output for {tuple(image.shape)} is {tuple(made.shape)}")
        return made

    def _look_at(self, _module: Any, _given: Any, made: Any) -> None:
        """Look at what the network has made, before spandrel limits it: an infinity would become 0 or 1."""
        if not isinstance(made, torch.Tensor):
            return
        if self._keeps:
            self._kept = made.clone()
        else:
            self._is_finite = self._is_finite and bool(made.isfinite().all())

    def _full_precision(self) -> AbstractContextManager[None]:
        if self.device == "cpu":
            return nullcontext()
        support: Any = device_support(self.device)
        return support.exact_convolutions(stride=2)  # type: ignore[no-any-return]  # above 1, cuDNN stays on


def built_network(file: ModelFile, device: str = "cpu") -> Network:
    """Build the network of a file.

    Raises:
        ImageError: if spandrel does not know its architecture, or it does not enlarge RGB or grey images.
        UsageError: if spandrel is not installed.
    """
    registry = _registry()
    path, weight_bytes = file.path, sum(tensor.nbytes for tensor in file.tensors.values())
    found = None
    for tensors in file.candidates:
        try:
            found = next((support for support in registry if support.detect(tensors)), None)
            if found is None:
                continue
            with warnings.catch_warnings(), Meter(_MOST_TIMES * weight_bytes + _SPARE_BYTES, _MOST_CALLS):
                warnings.simplefilter("ignore")
                descriptor = found.architecture.load(dict(tensors))
        except BaseException as error:  # a file that only looks like a network raises any exception in spandrel
            if isinstance(error, STOPS):
                raise
            what = "its architecture" if found is None else f"{found.architecture.name} of these weights"
            raise ImageError(path, f"spandrel cannot build {what}: {short_cause(error)}", kind="no-model") from error
        _check(file, descriptor)
        return Network(descriptor, device)
    known = "give a super-resolution network of an architecture in docs/models.md"
    step = (known, ", or use ", Setting("kernel"), " for a file of tconv fit")
    raise ImageError(path, "is not a network of an architecture that spandrel knows", step, kind="no-model")


def _registry() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spandrel
    except ImportError as error:
        install = "pip install 'upsample-cli[models]'"
        raise UsageError("a network needs the package spandrel", f"run {install}", kind="no-package") from error
    return spandrel.MAIN_REGISTRY.architectures("detection")


def _check(file: ModelFile, descriptor: Any) -> None:
    purpose, channels = descriptor.purpose, (descriptor.input_channels, descriptor.output_channels)
    name, factor = descriptor.architecture.name, descriptor.scale
    if purpose not in ("SR", "Restoration"):
        cause = f"{name} is for {purpose}, not for enlarging any image"
    elif channels not in ((3, 3), (1, 1)):
        cause = f"{name} has {channels[0]} input and {channels[1]} output channels, and images are RGB (3) or grey (1)"
    elif not 1 <= factor <= MAX_FACTOR:
        cause = f"{name} enlarges {factor} times, and only 1 to {MAX_FACTOR} times are supported"
    else:
        return
    raise ImageError(file.path, cause, "give another network", kind="no-model")
