"""A transform for torchvision: enlarges images and what belongs to them, such as masks and boxes."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import get_worker_info
from torchvision import tv_tensors
from torchvision.transforms.v2 import Transform

from upsample_cli import arguments
from upsample_cli.engine.arrays import upsample
from upsample_cli.engine.cores import use_cores
from upsample_cli.engine.layer import enlarged_by_layer
from upsample_cli.errors import UsageError
from upsample_cli.geometry.borders import Border, border_named
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.profiles import checked_factor

__all__ = ["Upsample"]

_MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "I;16", "F")
_MODES_WITH_ALPHA = ("LA", "RGBA")
_LENGTHS = {"XYXY": 4, "XYWH": 4, "CXCYWH": 4, "XYWHR": 4, "CXCYWHR": 4, "XYXYXYXY": 8}
"""For each format of boxes, how many of its numbers are lengths in pixels. The rest is an angle."""


class Upsample(Transform):  # type: ignore[misc]  # torchvision has no types
    """Enlarge images by a whole factor, exactly, with all that belongs to them. Use it like `v2.Resize`.

    | input | result |
    |---|---|
    | `Image`, `Video`, or a tensor that torchvision takes for an image: (..., C, H, W) | enlarged as by `upsample` |
    | Pillow image: L, LA, RGB, RGBA, CMYK, I;16 or F | the same, in the same mode; colour premultiplied by its alpha |
    | `Mask`, (..., H, W), of any type | every pixel repeated |
    | `BoundingBoxes` of any format, `KeyPoints` | coordinates times the factor, angles unchanged; new `canvas_size` |
    | anything else | unchanged |

    uint8 and uint16 pixels are the exact value rounded half up, those that the `upsample` command writes.
    Floating-point pixels are not clamped; float16 and bfloat16 are computed in float32. Tensors keep their type and
    stay on their device. An image that requires a gradient is enlarged by the layer itself, and the result is
    differentiable; its values are the same up to rounding. On CUDA, gradients have the precision that torch is set to.

    Coordinates are torchvision's: (0, 0) is the upper left corner of the image, and the centre of its first pixel is
    (0.5, 0.5). If yours have centres at whole numbers, add 0.5 before the transform and subtract 0.5 after it. Boxes
    are not clamped to the canvas.

    Args:
        factor: how many times each side is enlarged, 1 to 64.
        kernel: see `upsample`.
        border: see `upsample`.
        has_alpha: the last channel of tensors is straight alpha; colour is premultiplied by it before the layer. Pillow
            images have their mode instead.

    Raises:
        UsageError: here, if an argument has a value that is not listed; in a call, if the type or mode of an image is
            not listed, the type of coordinates cannot hold the enlarged ones, or an image with alpha requires a
            gradient.

    >>> transform = Upsample(2)
    >>> transform
    Upsample(factor=2, kernel=bilinear, border=replicate, has_alpha=False)
    >>> image = tv_tensors.Image(torch.tensor([[[0, 100]]], dtype=torch.uint8))
    >>> points = tv_tensors.KeyPoints([[0.5, 0.5]], canvas_size=(1, 2))
    >>> transform(image, points)
    (Image([[[  0,  25,  75, 100],
             [  0,  25,  75, 100]]], dtype=torch.uint8, ), KeyPoints([[1., 1.]], canvas_size=(2, 4)))
    """

    def __init__(
        self, factor: int = 2, *, kernel: str = "bilinear", border: Border = "replicate", has_alpha: bool = False
    ) -> None:
        super().__init__()
        self.factor, self.kernel = checked_factor(factor), arguments.text(kernel, "kernel")
        chosen_kernel(self.kernel, self.factor)
        self.border = border_named(border)
        self.has_alpha = arguments.flag(has_alpha, "has_alpha")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ARG002  torchvision's interface
        """The enlarged form of one part of a sample. torchvision calls it."""
        if isinstance(inpt, Image.Image):
            return self._pillow_image(inpt)
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(self._repeated(inpt.as_subclass(torch.Tensor)), like=inpt)
        if isinstance(inpt, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
            return self._scaled(inpt)
        if isinstance(inpt, tv_tensors.Image | tv_tensors.Video):
            return tv_tensors.wrap(self._image(inpt.as_subclass(torch.Tensor)), like=inpt)
        return inpt if isinstance(inpt, tv_tensors.TVTensor) else self._image(inpt)

    def _image(self, pixels: torch.Tensor) -> torch.Tensor:
        if not pixels.numel():  # an empty batch
            return pixels.new_empty(*pixels.shape[:-2], *(side * self.factor for side in pixels.shape[-2:]))
        if pixels.requires_grad and torch.is_grad_enabled():
            if self.has_alpha:
                raise UsageError("an image with alpha has no gradient here", "detach it, or leave out has_alpha")
            return enlarged_by_layer(pixels, chosen_kernel(self.kernel, self.factor), self.border)
        batch = pixels.reshape(-1, *pixels.shape[-3:]) if pixels.ndim > 4 else pixels
        enlarged: torch.Tensor = self._upsample(batch, has_alpha=self.has_alpha)
        return enlarged.reshape(*pixels.shape[:-2], *enlarged.shape[-2:]) if pixels.ndim > 4 else enlarged

    def _upsample(self, image: Any, *, has_alpha: bool) -> Any:
        _share_cores(os.getpid())
        return upsample(image, self.factor, kernel=self.kernel, border=self.border, has_alpha=has_alpha)

    def _pillow_image(self, image: Image.Image) -> Image.Image:
        if image.mode not in _MODES:
            raise UsageError(
                f"a Pillow image of mode {image.mode} cannot be enlarged",
                f"convert it to one of {', '.join(_MODES)}; make it a tv_tensors.Mask if its pixels are labels",
            )
        pixels = self._upsample(np.asarray(image), has_alpha=image.mode in _MODES_WITH_ALPHA)
        enlarged = Image.frombytes(image.mode, pixels.shape[1::-1], pixels.tobytes())
        enlarged.info = image.info.copy()
        return enlarged

    def _repeated(self, mask: torch.Tensor) -> torch.Tensor:
        *leading, height, width = mask.shape
        repeated = mask[..., :, None, :, None].expand(*leading, height, self.factor, width, self.factor)
        return repeated.reshape(*leading, height * self.factor, width * self.factor)

    def _scaled(self, places: Any) -> Any:
        height, width = (side * self.factor for side in places.canvas_size)
        numbers = places.as_subclass(torch.Tensor)
        _check_range(numbers.dtype, max(height, width))
        scales = [self.factor] * numbers.shape[-1]
        if isinstance(places, tv_tensors.BoundingBoxes):
            lengths = _LENGTHS[places.format.value]
            scales[lengths:] = [1] * (len(scales) - lengths)
        wide = numbers if numbers.is_floating_point() else numbers.long()  # torch does not multiply uint16
        scaled = wide * torch.tensor(scales, dtype=wide.dtype, device=wide.device)
        return tv_tensors.wrap(scaled.to(numbers.dtype), like=places, canvas_size=(height, width))


@functools.lru_cache(maxsize=1)
def _share_cores(_process: int) -> None:
    """In a worker of a DataLoader, use as many cores as torch uses there: one, unless `worker_init_fn` changes it."""
    if get_worker_info() is not None:
        use_cores(torch.get_num_threads())


def _check_range(dtype: torch.dtype, largest: int) -> None:
    """Refuse coordinates whose type does not reach to the edge of the enlarged image: they would wrap around."""
    info = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    if largest > info.max:
        name = str(dtype).removeprefix("torch.")
        raise UsageError(f"{name} cannot hold coordinates up to {largest}", "convert them to int64 or float32")
