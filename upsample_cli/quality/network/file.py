"""Write a trained network as whole numbers, with a description of its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from upsample_cli.atomic.files import new_file
from upsample_cli.kernels.weights.files import METADATA_KEY
from upsample_cli.kernels.weights.network_file import FORMAT, VERSION
from upsample_cli.quality.file import scores_as_json
from upsample_cli.quality.fit import Score
from upsample_cli.quality.network.fit import Plan, Split
from upsample_cli.quality.network.model import Network, whole_linear


@torch.no_grad()
def whole_tensors(network: Network) -> dict[str, NDArray[Any]]:
    """The tensors of a network with a grid. The last layer and the linear kernel are transposed convolutions."""
    grid = network.grid
    if grid is None:
        raise ValueError("the network has no grid yet: it is still trained in real numbers")
    found: dict[str, NDArray[Any]] = {}
    for index, shift in enumerate(grid.shifts):
        weight, bias = network.weights(index)
        found[f"trunk.{index}.weight"] = _whole(weight, np.int8)
        found[f"trunk.{index}.bias"] = _whole(bias, np.int32)
        found[f"trunk.{index}.shift"] = _whole(shift, np.uint8)
    factor = network.shape.factor
    side = 2 * network.shape.layers + 3
    flat = network.detail_of(torch.zeros(1, 1, side, side)) * 2.0**grid.bits
    found["detail.weight"] = _transposed(_whole(network.detail_weight(), np.int8), factor)
    found["detail.offset"] = _whole(-flat.reshape(factor, factor), np.int32)
    found["linear.weight"] = _transposed(_whole(whole_linear(network.linear, grid.bits), np.int16), factor)
    return found


def write_network(network: Network, path: Path, about: dict[str, Any], *, overwrite: bool) -> None:
    """Write a network with a grid. The same network and description always give the same bytes.

    Args:
        network: the network.
        path: path of the file, a .safetensors.
        about: a description as plain data.
        overwrite: replace an existing file.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is not set.
        ImageError: if the file cannot be written.
    """
    from safetensors.numpy import save

    assert network.grid is not None
    head = {"format": FORMAT, "version": VERSION, "factor": network.shape.factor, "bits": network.grid.bits}
    content = save(whole_tensors(network), metadata={METADATA_KEY: json.dumps(head | about, sort_keys=True)})
    with new_file(path, overwrite=overwrite) as file:
        file.write(content)


def as_json(plan: Plan, split: Split, scores: Mapping[str, Score]) -> dict[str, Any]:
    """A training and its scores as plain data."""
    return {
        "factor": plan.shape.factor,
        "channels": plan.shape.channels,
        "layers": plan.shape.layers,
        "multiplications": plan.shape.multiplications,
        "degradations": [str(degradation) for degradation in plan.degradations],
        "noise": plan.noise,
        "steps": plan.schedule.total,
        "trained_on": len(split.trained),
        "held_out": len(split.held_out),
        "scores": scores_as_json(scores),
    }


def _whole(values: torch.Tensor, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    whole = values.numpy().astype(dtype)
    if not np.array_equal(whole, values.numpy()):
        raise ValueError(f"values do not fit into {np.dtype(dtype)}")
    return whole


def _transposed(weight: NDArray[Any], factor: int) -> NDArray[Any]:
    """Convert the weight of a convolution before PixelShuffle to that of the transposed convolution equal to both.

    (factor**2, channels, k, k) -> (channels, 1, k * factor, k * factor).
    """
    _, channels, size, _ = weight.shape
    cells = weight.reshape(factor, factor, channels, size, size)[..., ::-1, ::-1]
    kernel = cells.transpose(2, 3, 0, 4, 1).reshape(channels, 1, size * factor, size * factor)
    return np.ascontiguousarray(kernel)
