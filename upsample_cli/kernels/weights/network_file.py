"""Read a network of whole numbers from a safetensors file, and check everything that its exactness depends on.

The file may be hostile. Types and shapes are checked before a tensor is read, and then every number that a bound or a
proof elsewhere relies on. The bounds, for pixels of 8 bits:

- trunk, for each filter: `sum(abs(weight)) * 255 + abs(bias) < 2**24`;
- output, for each phase: `(sum(abs(linear)) + sum(abs(detail))) * 255 + abs(offset) + 2**(bits - 1) < 2**24`, and
  257 times that, which bounds the sums for 16 bits, below `2**31`.

So all partial sums are exact in float32 and in integers of 32 bits, in any order of addition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upsample_cli.errors import ImageError
from upsample_cli.kernels.kernel import Kernel
from upsample_cli.kernels.network import FACTORS, LINEAR_TAPS, MOST_CHANNELS, MOST_LAYERS, Convolution, Network
from upsample_cli.kernels.weights.files import METADATA_KEY, faults_named
from upsample_cli.kernels.weights.readers import opened_safetensors
from upsample_cli.special_files import refuse_special

FORMAT, VERSION = "upsample-net", 1
_MOST_BITS, _MOST_SHIFT = 16, 24
_WHOLE_IN_FLOAT32, _WHOLE_IN_INT32 = 2**24, 2**31

Array = NDArray[Any]
Shapes = dict[str, tuple[str, tuple[int, ...]]]


def network_of_file(path: Path, name: str) -> Network | None:
    """The network in a file; None if the file is not of this form.

    Args:
        path: the file.
        name: the user's name for the network.

    Raises:
        ImageError: if the file cannot be read, or its network is not valid.
    """
    if path.suffix.lower() != ".safetensors":
        return None
    with faults_named(path):
        refuse_special(path)
        file = opened_safetensors(path, "numpy")
        about = _description(file.metadata() or {})
        if about.get("format") != FORMAT:
            return None
        factor, bits = _settings(path, about)
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  it is not a mapping
        found = {key: (part.get_dtype(), tuple(part.get_shape())) for key, part in slices.items()}
        layers = _check_shapes(path, found, factor)
        arrays = {key: file.get_tensor(key) for key in found}
    return _network(path, name, arrays, factor, bits, layers)


def _description(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """The description of a network, or {} if the file is another one."""
    try:
        about = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _settings(path: Path, about: Mapping[str, Any]) -> tuple[int, int]:
    version, factor, bits = (about.get(key) for key in ("version", "factor", "bits"))
    if version != VERSION:
        raise _fault(path, f"is a network of version {version!r:.20}, and only version {VERSION} is supported")
    if type(factor) is not int or factor not in FACTORS:
        raise _fault(path, f"is a network for factor {factor!r:.20}, not for 2, 3 or 4")
    if type(bits) is not int or not 1 <= bits <= _MOST_BITS:
        raise _fault(path, f"divides sums by 2 to the power {bits!r:.20}, not 1 to {_MOST_BITS}")
    return factor, bits


def _check_shapes(path: Path, found: Shapes, factor: int) -> int:
    """Check the types and shapes of all tensors. Returns the number of layers of the trunk."""
    layers = sum(key.startswith("trunk.") and key.endswith(".weight") for key in found)
    if not 1 <= layers <= MOST_LAYERS:
        raise _fault(path, f"has a trunk of {layers} layers, not of 1 to {MOST_LAYERS}")
    _, first = found.get("trunk.0.weight", ("", ()))
    channels = first[0] if first else 0
    if not 1 <= channels <= MOST_CHANNELS:
        raise _fault(path, f"has {channels} channels, not 1 to {MOST_CHANNELS}")
    wanted: Shapes = {
        "detail.weight": ("I8", (channels, 1, 3 * factor, 3 * factor)),
        "detail.offset": ("I32", (factor, factor)),
        "linear.weight": ("I16", (1, 1, LINEAR_TAPS * factor, LINEAR_TAPS * factor)),
    }
    for layer in range(layers):
        wanted[f"trunk.{layer}.weight"] = ("I8", (channels, channels if layer else 1, 3, 3))
        wanted[f"trunk.{layer}.bias"] = ("I32", (channels,))
        wanted[f"trunk.{layer}.shift"] = ("U8", (channels,))
    for key in sorted(wanted.keys() | found.keys()):
        if key not in found:
            raise _fault(path, f"lacks the tensor {key}")
        if key not in wanted:
            raise _fault(path, f"has the tensor {key!r:.60}, which does not belong to a network")
        if found[key] != wanted[key]:
            kind, shape = wanted[key]
            raise _fault(path, f"{key} is {found[key][0]} {found[key][1]}, not {kind} {shape}")
    return layers


def _network(path: Path, name: str, arrays: Mapping[str, Array], factor: int, bits: int, layers: int) -> Network:
    wide = {key: array.astype(np.int64) for key, array in arrays.items()}
    flat = np.zeros(1, np.int64)  # the activations of a flat area; layer 0 does not depend on its level
    for layer in range(layers):
        flat = _checked_layer(path, wide, layer, flat)
    linear = _phases(wide["linear.weight"], factor, LINEAR_TAPS)
    detail = _phases(wide["detail.weight"], factor, 3)
    offset = wide["detail.offset"].ravel()
    if (linear.sum((1, 2, 3)) != 2**bits).any():
        raise _fault(path, f"a phase of linear.weight does not sum to 2**{bits}, so flat areas would change")
    if ((detail.sum((2, 3)) * flat).sum(1) + offset).any():
        raise _fault(path, "detail.offset does not make the detail of a flat area 0")
    if detail.min() < -127:
        raise _fault(path, "detail.weight has a weight of -128, not -127 to 127")
    reach = abs(detail).sum((1, 2, 3)) * 255 + abs(offset)
    sums = int((abs(linear).sum((1, 2, 3)) * 255 + reach).max()) + 2 ** (bits - 1)
    if sums >= _WHOLE_IN_FLOAT32 or 257 * sums >= _WHOLE_IN_INT32:
        raise _fault(path, f"its sums reach {sums}, which is not exact in 24 bits, or for 16-bit pixels in 31")
    hashed = hashlib.sha256(f"{factor} {bits} {layers} {len(flat)}".encode())
    for key in sorted(arrays):
        hashed.update(np.ascontiguousarray(arrays[key]).tobytes())
    return Network(
        name, factor, hashed.hexdigest(),
        linear=Kernel(name, factor, tuple(wide["linear.weight"].ravel().tolist()), 2**bits, LINEAR_TAPS // 2 * factor),
        layers=tuple(
            Convolution(*(arrays[f"trunk.{layer}.{part}"] for part in ("weight", "bias", "shift")))
            for layer in range(layers)
        ),
        detail=detail.astype(np.int8), offset=offset.astype(np.int32), detail_reach=int(reach.max()),
    )  # fmt: skip


def _checked_layer(path: Path, wide: Mapping[str, Array], layer: int, flat: Array) -> Array:
    """Check the numbers of a layer. Returns its activations in a flat area."""
    weight, bias, shift = (wide[f"trunk.{layer}.{part}"] for part in ("weight", "bias", "shift"))
    if weight.min() < -127:
        raise _fault(path, f"trunk.{layer}.weight has a weight of -128, not -127 to 127")
    if layer == 0 and weight.sum((1, 2, 3)).any():
        raise _fault(path, "a filter of trunk.0.weight does not sum to 0, so flat areas would change")
    if shift.max() > _MOST_SHIFT:
        raise _fault(path, f"trunk.{layer}.shift is {shift.max()}, not 0 to {_MOST_SHIFT}")
    sums = int((abs(weight).sum((1, 2, 3)) * 255 + abs(bias)).max())
    if sums >= _WHOLE_IN_FLOAT32:
        raise _fault(path, f"the sums of trunk.{layer} reach {sums}, which is not exact in 24 bits")
    activations: Array = ((weight.sum((2, 3)) * flat).sum(1) + bias >> shift).clip(0, 255)
    return activations


def _phases(weight: Array, factor: int, taps: int) -> Array:
    """A transposed convolution (C, 1, taps*s, taps*s) as a convolution (s*s, C, taps, taps) before a pixel shuffle.

    Output `i*s + phase` meets input `i + j - taps // 2` with tap `phase + s * (taps - 1 - j)`.
    """
    split = weight.reshape(len(weight), taps, factor, taps, factor)[:, ::-1, :, ::-1]
    return split.transpose(2, 4, 0, 1, 3).reshape(factor**2, len(weight), taps, taps)


def phases_of_linear(network: Network) -> Array:
    """The linear kernel as one convolution for each phase, (factor**2, 7, 7) int16."""
    shape = (1, 1, network.linear.kernel_size, network.linear.kernel_size)
    weights = np.array(network.linear.weights, np.int16).reshape(shape)
    return np.ascontiguousarray(_phases(weights, network.factor, LINEAR_TAPS)[:, 0])


def _fault(path: Path, cause: str) -> ImageError:
    return ImageError(path, cause, "make it again, or use another kernel", kind="unsupported")
