"""The sink of formats that Pillow encodes as a whole: WebP, AVIF, BMP and GIF."""

from __future__ import annotations

import math
from collections.abc import Collection
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageChops

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.errors import encoder_errors
from upsample_cli.images.codecs.quiet import quiet_pillow
from upsample_cli.images.codecs.strips import check_complete, check_rows
from upsample_cli.images.format_table import Format
from upsample_cli.images.model import ColourSpace, Layout, Rows

_MODES = {("grey", False): "L", ("rgb", False): "RGB", ("rgb", True): "RGBA"}
_COLOURS_LOST = Loss("palette", "GIF holds at most 256 colours; this image has more and is reduced")
_ALPHA_LOST = Loss("alpha", "GIF cannot hold half-transparent pixels; they became opaque or vanished")

# Measured on frames of 1.2 MP: a palette from all pixels by median cut, not dithered, takes 0.13 to 0.33 s. One from a
# sample by coverage, dithered, takes 0.04 to 0.12 s, and its squared error, averaged over 3x3 pixels, is 0.2 to 0.4 of
# the former's.
_SAMPLE_PIXELS = 1 << 16


class CollectingSink:
    """Collects rows in a Pillow image, and encodes it at the end.

    Args:
        file: a binary file, at its start.
        fmt: the format, one that Pillow writes.
        height, width, layout: of the image.
        settings: of Pillow's encoder, metadata included.
        colour: the colour space, for AVIF; PNG has it in chunks.
    """

    def __init__(
        self,
        file: BinaryIO,
        fmt: Format,
        *,
        height: int,
        width: int,
        layout: Layout,
        settings: dict[str, Any],
        colour: ColourSpace | None,
    ) -> None:
        self._file, self._format, self._layout = file, fmt, layout
        self._settings, self._colour = settings, colour
        self.losses: Collection[Loss] = ()
        # Without a fill colour its memory is not touched, so the system allocates it only as rows come.
        self._image = Image.new(_MODES[layout.colour, layout.alpha], (width, height), None)
        self._next_row = 0

    def write_rows(self, rows: Rows) -> None:
        """Write the next rows."""
        height, width = self._image.height, self._image.width
        check_rows(rows, (width, self._layout.channels), self._layout.dtype, height - self._next_row)
        mode = self._image.mode
        band = Image.frombuffer(mode, (width, len(rows)), np.ascontiguousarray(rows), "raw", mode, 0, 1)
        self._image.paste(band, (0, self._next_row))
        self._next_row += len(rows)

    def finish(self) -> None:
        """Encode the image."""
        check_complete(self._image.height - self._next_row)
        with quiet_pillow(), encoder_errors(self._format.title):
            image, extra = self._image, dict[str, Any]()
            if self._format.name == "gif":
                image, extra, self.losses = _reduced(image)
            self._image = image
            if self._colour is None:
                image.save(self._file, self._format.pillow_name, **(self._settings | extra))
                return
            from upsample_cli.images.codecs.avif_items import with_codes

            encoded = BytesIO()
            image.save(encoded, self._format.pillow_name, **self._settings)
            self._file.write(with_codes(encoded.getvalue(), self._colour))


def _reduced(image: Image.Image) -> tuple[Image.Image, dict[str, Any], list[Loss]]:
    """Reduce an image to at most 256 colours; return it with Pillow's settings for transparency and the losses."""
    if image.mode == "L":
        return image, {}, []
    if image.mode == "RGB":
        return _quantized(image, 256), {}, [_COLOURS_LOST] if image.getcolors(256) is None else []
    alpha = image.getchannel("A")
    losses = [_ALPHA_LOST] if sum(alpha.histogram()[1:255]) else []
    clear = alpha.point([255] * 128 + [0] * 128)
    image.putalpha(ImageChops.invert(clear))  # before colours are counted, so that alpha does not multiply them
    image.paste((0, 0, 0, 0), mask=clear)  # invisible colours must not use up the palette
    colours = image.getcolors(256)
    seen = [colour for _, colour in colours or () if isinstance(colour, tuple) and colour[3]]
    if colours is None or len(seen) > 255:
        losses.insert(0, _COLOURS_LOST)
    shown = image.convert("RGB")
    shown.paste(seen[0][:3] if seen else (0, 0, 0), mask=clear)
    reduced = _quantized(shown, 255)
    reduced.paste(255, mask=clear)
    return reduced, {"transparency": 255}, losses


def _quantized(image: Image.Image, colours: int) -> Image.Image:
    """Reduce an image to `colours` colours. If it has more, the palette comes from a sample, and it is dithered."""
    if image.getcolors(colours) is not None:
        return image.quantize(colours, Image.Quantize.MEDIANCUT)
    share = min(1.0, math.sqrt(_SAMPLE_PIXELS / (image.width * image.height)))
    size = (max(1, int(image.width * share)), max(1, int(image.height * share)))
    palette = image.resize(size, Image.Resampling.NEAREST).quantize(colours, Image.Quantize.MAXCOVERAGE)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
