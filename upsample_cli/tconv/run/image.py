"""Apply a transposed convolution to an image: the engine enlarges by whole factors, `apply` does all other layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.opened import opened
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import Loss, Setting, UsageError
from upsample_cli.images.codecs.input_file import regular_file
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.formats import check_output_size, format_of_path
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.model import Layout
from upsample_cli.images.open import open_image
from upsample_cli.images.output_form import nearest_form
from upsample_cli.images.save import open_sink
from upsample_cli.kernels.weights.files import Weights
from upsample_cli.tconv.run.request import Outcome, Request, applied, filled_layer, layer_of

_ROWS_AT_ONCE = 256


def run_image(source: Path, target: Path, request: Request, weights: Weights | None) -> Outcome:
    """Apply a layer to an image; see `run.run`."""
    if request.axes not in (None, 2):
        raise UsageError((Setting("axes", request.axes), " for an image"), "an image has 2")
    layer = layer_of(request, 2, weights)  # before the image is decoded
    if isinstance(request.factor, int):
        border = request.border_used
        done = upsample_file(
            source, target, request.factor, border=border, tile=request.tile, overwrite=request.overwrite
        )
        before = (done.height or 0, done.width or 0)
        after = (done.output_height or 0, done.output_width or 0)
        return Outcome(layer, before, after, border, done.remarks)
    format_ = format_of_path(target)
    if format_ is None:
        cause = f"{target}: {target.suffix!r} is not the extension of an image format"
        raise UsageError(cause, "give an image's, like .png")
    with regular_file(source) as file, open_image(file) as image:
        read = opened(source, file)
        info, metadata = image.info, image.metadata
        layer.output_sizes((info.height, info.width))
        samples = image.read_rows(0, info.height).transpose(2, 0, 1)
    peak = int(np.iinfo(samples.dtype).max) if samples.dtype.kind == "u" else None
    filled = filled_layer(layer, request, weights, samples.shape, peak=peak)
    channels, height, width = shape = filled.output_shape(samples.shape)
    layout = _layout(info.layout, channels)
    form = nearest_form(info._replace(layout=layout), metadata, format_)
    check_output_size(source, format_, height, width, form.layout)
    result = applied(filled, samples, request, limits=None)
    remarks: list[Loss | str] = [*info.losses]
    if info.layout.alpha:
        remarks.append("alpha goes through the layer like the other channels; colour is not premultiplied by it")
    with new_file(target, overwrite=request.overwrite, sources=[read]) as output:
        sink = open_sink(
            output,
            format_,
            height=height,
            width=width,
            layout=form.layout,
            metadata=metadata_for_output(form.metadata, height, width, info),
            info=info,
        )
        for top in range(0, height, _ROWS_AT_ONCE):
            rows = np.ascontiguousarray(result[:, top : top + _ROWS_AT_ONCE].transpose(1, 2, 0))
            sink.write_rows(convert_rows(rows, layout, form.layout))
        sink.finish()
    return Outcome(layer, samples.shape, shape, request.border_used, (*remarks, *form.losses))


def _layout(layout: Layout, channels: int) -> Layout:
    """The layout of a result with `channels` channels."""
    if channels == layout.channels:
        return layout
    if channels == 1:
        return layout._replace(colour="grey", alpha=False)
    if channels == 3:
        return layout._replace(colour="rgb", alpha=False)
    raise UsageError(f"an image of {channels} channels cannot be written", "use weights of 1 or 3 out_channels")
