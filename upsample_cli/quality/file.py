"""Write a fitted kernel to a file: the weight of an `nn.ConvTranspose2d`, and how it was fitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import Setting, UsageError
from upsample_cli.kernels.weights.files import METADATA_KEY
from upsample_cli.quality.fit import Fit, Score

SUFFIX = ".safetensors"


def check_output(path: Path, *, overwrite: bool, what: str = "kernels", suffix: str = SUFFIX) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Args:
        path: path of the output.
        overwrite: whether an existing file may be replaced.
        what: what the file contains, in the plural, for the message.
        suffix: the required extension.

    Raises:
        UsageError: if the path does not end in `suffix`.
        OutputExistsError: if the file exists and `overwrite` is not set.
        ImageError: if the file cannot be written, for example because its folder does not exist.
    """
    if path.suffix.lower() != suffix:
        raise UsageError(f"{path}: {what} are written as {suffix}", ("give ", Setting("output", f"NAME{suffix}")))
    check_writable(path, overwrite=overwrite)


def write_fit(fit: Fit, path: Path, *, overwrite: bool, made_by: str) -> None:
    """Write "weight", (1, 1, kernel_size, kernel_size) float32. The same fit always gives the same bytes.

    Raises:
        OutputExistsError: if the file exists and `overwrite` is not set.
        ImageError: if the file cannot be written.
    """
    from safetensors.numpy import save

    weight = np.array(fit.kernel.weights, np.float32).reshape(fit.kernel.shape) / np.float32(fit.kernel.denominator)
    about = json.dumps(as_json(fit) | {"made_by": made_by}, sort_keys=True)
    with new_file(path, overwrite=overwrite) as file:
        file.write(save({"weight": weight}, metadata={METADATA_KEY: about}))


def as_json(fit: Fit) -> dict[str, Any]:
    """A fit and its scores as plain data."""
    recipe, kernel = fit.recipe, fit.kernel
    return {
        "factor": recipe.factor,
        "support": recipe.support,
        "degradation": str(recipe.degradation),
        "symmetric": recipe.symmetric,
        "layer": (
            f"ConvTranspose2d(1, 1, {kernel.kernel_size}, stride={kernel.factor}, padding={kernel.padding}, bias=False)"
        ),
        "pictures": fit.images,
        "samples": fit.samples,
        "skipped": len(fit.skipped),
        "protocol": fit.protocol,
        "scores": scores_as_json(fit.scores),
    }


def scores_as_json(scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """Scores by kernel as plain data."""
    return {name: {"psnr_db": round(score.psnr_db, 2), "ssim": round(score.ssim, 4)} for name, score in scores.items()}
