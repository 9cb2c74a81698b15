"""`upsample`: enlarge tensors and arrays in the caller's process."""

from __future__ import annotations

import functools
import sys
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from upsample_cli import arguments
from upsample_cli.engine.bands import enlarge
from upsample_cli.engine.devices import pick_device
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import Dtype, Pixels, form_for_pixels
from upsample_cli.errors import UsageError
from upsample_cli.geometry.borders import Border, border_named
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.profiles import checked_factor
from upsample_cli.text import parse_quantity

if TYPE_CHECKING:
    import torch

Image = TypeVar("Image", "torch.Tensor", NDArray[np.generic])

_WIDENED = {"float16": "float32", "bfloat16": "float32"}
_KEPT = ("uint8", "uint16", "float32", "float64")


def upsample(
    image: Image,
    factor: int = 2,
    *,
    kernel: str = "bilinear",
    border: Border = "replicate",
    device: str | torch.device | None = None,
    has_alpha: bool = False,
    memory: str | int | None = None,
    tile: int | None = None,
) -> Image:
    """Enlarge an image, or a batch of images, by a whole factor.

    Args:
        image: a tensor (H, W), (C, H, W) or (N, C, H, W), or a numpy array (H, W) or (H, W, C), with any strides and
            byte order; uint8, uint16 or floating point. Values are neither clamped nor scaled. float16 and bfloat16 are
            computed in float32.
        factor: how many times each side is enlarged, 1 to 64.
        kernel: "bilinear", "nearest", "bicubic", "lanczos3" or another name in `kernel.KERNEL_NAMES`, or a file of
            weights, `FILE` or `FILE:KEY`: .safetensors, .pt, .pth or .npy.
        border: the pixels outside the image: "replicate" the edge, "reflect" the image, "wrap" around to its other
            end, for seamless textures, or "zeros" as in the plain layer.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps"; by default the device of the tensor, and the CPU for arrays.
        has_alpha: the last channel is straight alpha; colour is premultiplied by it before the layer.
        memory: budget for working memory, in bytes or as "2G".
        tile: side of the tiles in input pixels, in place of a budget.

    Returns:
        An image of the same type and on the same device, with `factor` times the height and width and in native byte
        order. Whole numbers are the exact value rounded half up. The result is not differentiable; use `bilinear_layer`
        for training.

    Raises:
        UsageError: if an argument has a value that is not listed here.

    >>> upsample(np.array([[0, 100]], dtype=np.uint8), 2)
    array([[  0,  25,  75, 100],
           [  0,  25,  75, 100]], dtype=uint8)
    """
    border = border_named(border)
    torch = sys.modules.get("torch")  # a caller with a tensor has imported it
    is_tensor = torch is not None and isinstance(image, torch.Tensor)
    if not is_tensor and not isinstance(image, np.ndarray):
        raise UsageError(f"a {type(image).__name__} is not an image", "give a torch tensor or a numpy array")
    if isinstance(image, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):  # numpy imports it when it is used
        raise UsageError("a masked array cannot be enlarged: its mask would be lost", "give image.filled(...)")
    settings = Settings(
        chosen_kernel(arguments.text(kernel, "kernel"), checked_factor(factor)),
        border,
        pick_device(str((image.device if is_tensor else "cpu") if device is None else device)),
        parse_quantity(memory, "memory") if isinstance(memory, str) else _count(memory, "a memory budget", "byte"),
        _count(tile, "a tile", "pixel"),
    )
    enlarged: Any = _enlarged_tensor if is_tensor else _enlarged_array
    return enlarged(image, settings, arguments.flag(has_alpha, "has_alpha"))  # type: ignore[no-any-return]


def _count(number: int | None, thing: str, unit: str) -> int | None:
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
        raise UsageError(f"{thing} cannot be {number} {unit}s", f"give a whole number of {unit}s, one or more")
    return int(number)


@functools.lru_cache(maxsize=32)
def _kind(dtype: Dtype | torch.dtype) -> Dtype:
    """The type in which pixels of type `dtype` are computed. numpy takes microseconds to spell the name of a type."""
    name = dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")
    kind = _WIDENED.get(name, name)
    if kind not in _KEPT:
        raise UsageError(f"pixels of type {name} cannot be enlarged", "convert to uint8, uint16 or a float type")
    return np.dtype(kind)


def _size(pixels: Pixels, factor: int) -> tuple[int, int, int]:
    height, width, channels = pixels.shape
    return height * factor, width * factor, channels


def _enlarged_array(image: NDArray[Any], settings: Settings, has_alpha: bool) -> NDArray[Any]:
    _check_axes(image.ndim in (2, 3), image.shape, "(H, W) or (H, W, C)")
    pixels = image[..., None] if image.ndim == 2 else image
    kind = _kind(pixels.dtype)
    wide = pixels.astype(kind, copy=False)  # in native byte order
    made: NDArray[Any] = _enlarged(
        wide, np.empty(_size(pixels, settings.kernel.factor), kind), kind, settings, has_alpha
    )
    enlarged = made.astype(pixels.dtype.newbyteorder("="), copy=False)
    return enlarged[..., 0] if image.ndim == 2 else enlarged


def _enlarged_tensor(image: torch.Tensor, settings: Settings, has_alpha: bool) -> torch.Tensor:
    import torch

    if image.is_nested:  # it may have no shape
        raise UsageError("a nested tensor cannot be enlarged", "give its parts, one after the other")
    _check_axes(image.ndim in (2, 3, 4), tuple(image.shape), "(H, W), (C, H, W) or (N, C, H, W)")
    if image.layout != torch.strided:
        raise UsageError(f"a tensor of layout {image.layout} cannot be enlarged", "give image.to_dense()")
    batch = image.detach().resolve_neg()[(None,) * (4 - image.ndim)]
    results = [_enlarged_planes(planes.permute(1, 2, 0), settings, has_alpha) for planes in batch]
    result = (torch.stack(results) if len(results) != 1 else results[0][None]).permute(0, 3, 1, 2)
    if image.ndim == 4 and not image.is_contiguous() and image.is_contiguous(memory_format=torch.channels_last):
        return result
    return result.contiguous().view(*image.shape[:-2], *result.shape[-2:])


def _enlarged_planes(pixels: torch.Tensor, settings: Settings, has_alpha: bool) -> torch.Tensor:
    """Enlarge one image, (H, W, C) -> (H*factor, W*factor, C), with the same dtype and on the same device."""
    import torch

    kind = _kind(pixels.dtype)
    shape = _size(pixels, settings.kernel.factor)
    wide = pixels.to(getattr(torch, kind.name))
    if pixels.device.type == "cpu":
        # numpy requests huge pages and torch does not; without them a third of the time goes into page faults.
        out = torch.from_numpy(np.empty(shape, kind))
    else:
        out = torch.empty(shape, dtype=wide.dtype, device=pixels.device)
    if settings.device == "cpu":
        made = out.cpu()
        _enlarged(wide.cpu().numpy(), made.numpy(), kind, settings, has_alpha)
        out = made.to(pixels.device)
    else:
        _enlarged(wide, out, kind, settings, has_alpha)
    return out.to(pixels.dtype)


def _check_axes(is_right: bool, shape: tuple[int, ...], wanted: str) -> None:
    if not is_right or 0 in shape:
        raise UsageError(f"an image of shape {tuple(shape)} cannot be enlarged", f"give one of shape {wanted}")


def _enlarged(pixels: Pixels, out: Pixels, kind: Dtype, settings: Settings, has_alpha: bool) -> Pixels:
    """Enlarge one image (H, W, C) into `out` (H*factor, W*factor, C), which is returned. Both have the type `kind`."""
    if reason := settings.kernel.misfit(pixels.shape[2], has_alpha=has_alpha, is_whole=kind.kind == "u"):
        raise UsageError(*reason, kind="no-kernel")
    kernel, arithmetic = form_for_pixels(settings.kernel, kind, has_alpha=has_alpha)
    if kernel is not settings.kernel:
        settings = settings._replace(kernel=kernel)
    enlarge(pixels, out, settings=settings, arithmetic=arithmetic)
    return out
