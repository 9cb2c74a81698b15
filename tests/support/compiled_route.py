"""The compiled route alone, on whole images; and one with a wrong weight."""

from unittest import mock

import numpy as np

from upsample_cli.engine.borders import padded_tile
from upsample_cli.engine.exact import exact_form
from upsample_cli.engine.routes import compiled
from upsample_cli.engine.routes.compiled import CompiledRoute
from upsample_cli.geometry.tiles import plan_for_budget
from upsample_cli.kernels.kernel import kernel_named

MANY = 2**40  # bytes: a single tile


def enlarged(pixels, factor, instructions, *, kernel="bilinear", has_alpha=False):
    """Enlarge through this route alone, into the middle of an array whose other pixels it must not change."""
    chosen, arithmetic = exact_form(kernel_named(kernel, factor), pixels.dtype, has_alpha=has_alpha)
    route = CompiledRoute(chosen, arithmetic, pixels.shape[2], instructions=instructions)
    plan = plan_for_budget(*pixels.shape[:2], halo=chosen.halo, bytes_per_pixel=1, budget_bytes=MANY, tile_size=None)
    tile = padded_tile(pixels, next(iter(plan.bands()))[0], "replicate")
    height, width = pixels.shape[0] * factor, pixels.shape[1] * factor
    around = np.full((height + 2, width + 70, pixels.shape[2]), 77, dtype=pixels.dtype)
    route(tile, around[1:-1, 35:-35])
    outside = around.copy()
    outside[1:-1, 35:-35] = 77
    assert (outside == 77).all()
    return around[1:-1, 35:-35]


class WrongTapRoute(CompiledRoute):
    """One weight of a row is too large by one. Bytes by two have no weights, so they use the general code."""

    def __init__(self, *arguments):
        with mock.patch.object(compiled, "_is_twofold", return_value=False):
            super().__init__(*arguments)
        tables = list(self._settings)
        tables[5] = tables[5].copy()
        tables[5].flat[0] += 1
        self._settings = tuple(tables)
