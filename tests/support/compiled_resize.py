"""Compiled sums alone, on whole images at any size."""

import numpy as np

from upsample_cli.engine import resize
from upsample_cli.engine.enlargement import Settings
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.resize_axes import filter_for
from upsample_cli.kernels.kernel import kernel_named


def made_at(
    pixels,
    size,
    kernel="bilinear",
    border="replicate",
    *,
    has_alpha=False,
    instructions=None,
    by_products=False,
    **rounding,
):
    """(height, width, channels) at another size, by this code only; `by_products`, by the matrices instead.

    Args:
        rounding: takes the place of some of the fields of `resize_rounding.Rounding`.
    """
    factor = max(-(-made // given) for made, given in zip(size, pixels.shape[:2], strict=True))
    chosen, arithmetic = exact_form(kernel_named(kernel, factor), pixels.dtype, has_alpha=has_alpha)

    def rows(first, last):
        return pixels[first:last]

    settings = Settings(chosen, border, "cpu")
    if by_products:
        bands = resize.bands_by_products(rows, pixels.shape, size, settings, arithmetic, filter_for(kernel))
        return np.concatenate(list(bands))
    made = resize._compiled(
        pixels.shape, size, chosen, border, arithmetic, filter_for(kernel), instructions=instructions
    )
    columns, weights, divisor, proven, *others = made._settings
    made._settings = (columns, weights, divisor, proven._replace(**rounding), *others)
    return np.concatenate(list(resize._compiled_bands(made, rows, pixels.shape, size, settings, arithmetic)))
