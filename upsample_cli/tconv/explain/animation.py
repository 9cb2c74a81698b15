"""Draw the first way of an explanation as an animation, a GIF or an SVG: each frame places one input sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from upsample_cli.atomic.files import new_file
from upsample_cli.atomic.writable import check_writable
from upsample_cli.errors import UsageError
from upsample_cli.tconv.explain.drawing import Box, Colour, Drawing, Panel, Row, Words, arranged, painted
from upsample_cli.tconv.explain.explain import Explanation
from upsample_cli.tconv.explain.grids import as_planes
from upsample_cli.tconv.explain.image import kept_cells, planes

_FRAME_MS, _LAST_MS = 1000, 3000
_MOST_CELLS = 40_000
"""The most cells of all frames together."""


def check_animation(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that `write_animation` cannot write to, before any work is done.

    Raises:
        UsageError: the path ends neither in .gif nor in .svg.
        OutputExistsError: the file exists and `overwrite` is not set.
        ImageError: the file cannot be written.
    """
    if path.suffix.lower() not in (".gif", ".svg"):
        raise UsageError(f"{path}: an animation is a GIF or an SVG", "give a name that ends in .gif or .svg")
    check_writable(path, overwrite=overwrite)


def write_animation(explanation: Explanation, path: Path, *, overwrite: bool = False) -> None:
    """Write the animation. It repeats without end.

    Raises:
        UsageError: the animation would be too large to look at.
        OutputExistsError: the file exists and `overwrite` is not set.
    """
    rows = [*_frames(explanation)]
    cells = sum(panel.array.size for frame in rows for _, panels in frame for panel in panels)
    if cells > _MOST_CELLS:
        raise UsageError(f"{cells} cells in {len(rows)} frames are too many to look at", "use a smaller example")
    frames = [arranged(frame) for frame in rows]
    with new_file(path, overwrite=overwrite) as file:
        if path.suffix.lower() == ".svg":
            file.write(_svg(frames).encode())
            return
        first, *others = [painted(frame) for frame in frames]
        durations = [*[_FRAME_MS] * len(others), _LAST_MS]
        first.save(file, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def _frames(explanation: Explanation) -> Iterator[Sequence[Row]]:
    """A frame for each input sample, and one for the output."""
    shown, kept = explanation.example, kept_cells(explanation)
    placed = np.array([as_planes(canvas) for _, _, canvas in explanation.contributions])
    sums = np.cumsum(placed, axis=0)
    scale = float(np.abs(sums).max())
    words = "the frame is the output: padding crops the rest" if explanation.crops else "the sum is the output"
    for number, ((title, canvas), (index, _, _)) in enumerate(
        zip(explanation.titled, explanation.contributions, strict=True)
    ):
        channel, place = index[0], index[1:]
        marked = (0, place[0]) if len(place) == 1 else (place[-2], place[-1])
        shown_in = channel * shown.input.shape[1] + place[0] if len(place) == 3 else channel
        inputs = [
            Panel(name, plane, marked=marked if at == shown_in else None)
            for at, (name, plane) in enumerate(planes("input X", shown.input))
        ]
        kernels = [Panel(name, plane) for name, plane in planes("kernel K", shown.kernel[channel])]
        steps = [
            Panel(name, widest[number, at], kept[at], scale, widest=widest[:, at])
            for words_of, widest in ((f"{title}, times K", placed), ("output, the sum so far", sums))
            for at, (name, _) in enumerate(planes(words_of, canvas))
        ]
        yield [(str(shown.layer), [*inputs, *kernels]), (words, steps)]
    results = zip(planes("output Y", explanation.canvas), kept, strict=True)
    outputs = [Panel(name, plane, cells, scale) for (name, plane), cells in results]
    inputs = [Panel(name, plane) for name, plane in planes("input X", shown.input)]
    kernels = [Panel(name, plane) for name, plane in planes("kernel K", shown.kernel[0])]
    yield [(str(shown.layer), [*inputs, *kernels]), (words, outputs)]


def _svg(frames: Sequence[Drawing]) -> str:
    """All frames on top of each other; each is visible in its part of the time."""
    width, height = (max(getattr(frame, name) for frame in frames) for name in ("width", "height"))
    total = (len(frames) - 1) * _FRAME_MS + _LAST_MS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, frame in enumerate(frames):
        start, stop = number * _FRAME_MS / total, min(1.0, (number + 1) * _FRAME_MS / total)
        is_last = number == len(frames) - 1
        times = [0.0, start, *([] if is_last else [stop])]
        values = ["hidden", "visible", *([] if is_last else ["hidden"])]
        if number == 0:
            times, values = times[1:], values[1:]
        parts.append(f'<g visibility="{"visible" if is_last else "hidden"}">')
        parts.append(
            f'<animate attributeName="visibility" calcMode="discrete" dur="{total}ms" repeatCount="indefinite" '
            f'keyTimes="{";".join(f"{time:.6f}" for time in times)}" values="{";".join(values)}"/>'
        )
        parts += [_element(shape) for shape in frame.shapes]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _element(shape: Box | Words) -> str:
    if isinstance(shape, Box):
        fill = "none" if shape.fill is None else _hex(shape.fill)
        return (
            f'<rect x="{shape.left}" y="{shape.top}" width="{shape.right - shape.left}" '
            f'height="{shape.bottom - shape.top}" fill="{fill}" stroke="{_hex(shape.line)}" '
            f'stroke-width="{shape.width}"/>'
        )
    anchor = ("middle", "central") if shape.is_centred else ("start", "hanging")
    return (
        f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size}" fill="{_hex(shape.fill)}" '
        f'text-anchor="{anchor[0]}" dominant-baseline="{anchor[1]}">{escape(shape.text)}</text>'
    )


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
