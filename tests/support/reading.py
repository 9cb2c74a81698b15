"""Calls of the readers for tests and fuzz.py: the rows of an image, and the whole pipeline without the layer."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.interfaces import Source
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.model import Frames, ImageInfo
from upsample_cli.images.open import open_animation, open_image
from upsample_cli.images.output_form import nearest_form
from upsample_cli.images.save import open_sink

MAX_PIXELS = 1_000_000


class _Named(io.BytesIO):
    """A file in memory with a name, which a TGA needs."""

    name = "bad.tga"


def rows_of(data: bytes, **settings: Any) -> tuple[np.ndarray, ImageInfo]:
    """All rows of an image in memory, read in one piece, and its header."""
    with open_image(io.BytesIO(data), **settings) as source:
        return source.read_rows(0, source.info.height), source.info


def exercise(data: bytes, target: str = "png") -> np.ndarray:
    """Run an image through everything but the layer: plan, open, read all rows, write small ones. Returns its rows."""
    options = Options(max_pixels=MAX_PIXELS, format=target)
    job = plan_job(Path("bad"), options, source_stream=_Named(data))
    with open_image(_Named(data), max_pixels=MAX_PIXELS) as source:
        info = source.info
        assert (info.height, info.width) == (job.height, job.width)
        bands = [source.read_rows(top, min(top + 11, info.height)) for top in range(0, info.height, 11)]
        rows = np.concatenate(bands)
        assert rows.shape == (info.height, info.width, info.layout.channels)
        form = nearest_form(info._replace(frames=None), source.metadata, FORMATS[target])
        metadata = metadata_for_output(form.metadata, 2 * info.height, 2 * info.width, info)
        if rows.size <= 100_000:
            sink = open_sink(
                io.BytesIO(), FORMATS[target], height=info.height, width=info.width, layout=form.layout,
                metadata=metadata, info=info,
            )  # fmt: skip
            sink.write_rows(convert_rows(rows.copy(), info.layout, form.layout, source.metadata.icc_profile))
            sink.finish()
    for other in islice(_frames(data, info.frames), 20):
        with other:
            other.read_rows(0, other.info.height)
    return rows


def _frames(data: bytes, frames: Frames | None) -> Iterator[Source]:
    if frames is not None and frames.kind == "animation":
        found = open_animation(io.BytesIO(data), max_pixels=MAX_PIXELS)
        yield from (frame[0] for frame in found if isinstance(frame, tuple))
    elif frames is not None and frames.kind == "pages":
        for page in range(1, frames.count + 1):
            yield open_image(io.BytesIO(data), max_pixels=MAX_PIXELS, frame=page)


def peak_bytes() -> int:
    """Peak memory of this process. Not ru_maxrss, which starts with the peak of the parent at the fork."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) * 1024 if found else 0
