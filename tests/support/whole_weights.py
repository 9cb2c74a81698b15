"""The pixels that follow from a kernel's own whole weights, on the grid for its pixels."""

import numpy as np

from support.oracles import weighted_pixels
from upsample_cli.engine.exact import exact_form
from upsample_cli.kernels.choice import chosen_kernel


def oracle_weights(kernel):
    """A kernel's weights in the oracle's form: (factor, factor, n, n), with (out, in) in front if it has channels."""
    factor, reach = kernel.factor, kernel.halo
    weights = np.array(kernel.weights, dtype=np.int64).reshape(kernel.shape)
    if kernel.channels > 1 and not kernel.is_dense:
        weights = np.stack([weights[:, 0] * (np.arange(kernel.channels) == c)[:, None, None]
                            for c in range(kernel.channels)], axis=1)  # fmt: skip
    found = np.zeros((*weights.shape[:2], factor, factor, 2 * reach + 1, 2 * reach + 1), dtype=np.int64)
    for top, left, row, column in np.ndindex(found.shape[2:]):
        # output i*factor + phase uses input i + offset through tap phase + padding - offset*factor
        taps = [phase + kernel.padding - (at - reach) * factor for phase, at in ((top, row), (left, column))]
        if all(0 <= tap < kernel.kernel_size for tap in taps):
            found[..., top, left, row, column] = weights[..., taps[0], taps[1]]
    return found[0, 0] if kernel.channels == 1 else found.swapaxes(0, 1)


def fitted_expectation(pixels, factor, text, *, border="replicate", has_alpha=False):
    """The result of a kernel's own integer weights, on the grid for such pixels."""
    kernel, _ = exact_form(chosen_kernel(text, factor), pixels.dtype, has_alpha=has_alpha)
    assert kernel.denominator < 2**30, "past what the oracle's int64 holds"
    return weighted_pixels(
        pixels, factor, oracle_weights(kernel), kernel.denominator, border=border, has_alpha=has_alpha
    )
