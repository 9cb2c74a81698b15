"""Memory of images in flight: an estimate for each, what is available, and which may run at the same time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from upsample_cli.engine.available import available_bytes
from upsample_cli.engine.cores import core_count
from upsample_cli.engine.drivers import has_cuda_driver
from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.options import Options
from upsample_cli.images.model import Layout

_WORKER_BYTES = 160 * 2**20
"""Memory of a worker before its first image, mostly libtorch. Measured: 145 MiB."""

_TORCH_WORKER_BYTES = 600 * 2**20
"""The same with Python's torch, which devices other than the CPU need. Measured: 560 MiB."""

_SHARE = 0.5
"""Share of the available memory that images in flight may take by default."""

_BAND_BYTES = 64 * 2**20
"""Memory of the bands of one large image, all threads together."""

_DECODED_BYTES = {"tiff": 0, "png": 0, "pnm": 0, "webp": 16, "avif": 8, "gif": 2, "jxl": 6}
"""Bytes per pixel in the decoder; 4 for other formats. Measured. TIFF, PNG and PNM are read by rows; for what they
hold see `decoding_bytes`.

The WebP decoder has two canvases of 4 bytes and returns a copy, which Pillow copies again.
"""

_HELD_BYTES = 4
"""The most bytes per pixel that stay after decoding."""

_HOLDING = frozenset({"tiff", "png", "jxl"})
"""Formats whose `decoding_bytes` stay until their last row is read."""

_ANIMATION_BYTES = 20
"""Bytes per pixel of an animation while its frames are composed. Measured: 14 to 20."""

_ENCODED_BYTES = {
    "png": (0, 0, 0), "tiff": (0, 0, 0), "pnm": (0, 0, 0), "jpeg": (0, 0, 0), "bmp": (1, 4, 4),
    "webp": (6, 6, 36), "avif": (21, 43, 46), "gif": (3, 6, 12),
}  # fmt: skip
"""Bytes per output pixel in the encoder: of grey, of colour, of an image with alpha. Measured. For JPEG XL see
`_encoder_bytes`."""

_LOSSLESS_BYTES = {"webp": (36, 36, 36)}
"""The same for an input that is stored without loss. Without a quality, its output is lossless too."""

_SUBSAMPLED_BYTES = {"avif": (21, 30, 46)}
"""The same for a JPEG with subsampled chroma, which its output gets too."""

_JXL_GROUPS_PIXELS = 2**22
"""The encoder of JPEG XL works on a part of the image of this size at a time."""

_REDUCED_ROWS = 300
"""Rows of the enlarged image, in float64, that the reduction to another size holds. Measured: 250 to 310.

Compiled sums hold far fewer, but the process that plans does not know whether there are any.
"""

_WORK_PIXELS = 2**20
"""An image of this size keeps a worker busy long enough that queuing the next one costs nothing."""

_MOST_PER_SLOT = 32


def job_bytes(job: Job) -> int:
    """Estimated peak memory for one image, without the worker's own.

    For large images it is at least what whole processes took, and rarely more than 1.5 times that (see
    docs/performance.md). Where compiled sums reduce to another size, it is larger.

    >>> from pathlib import Path
    >>> from upsample_cli.enlarge.resolve import KernelChoice, Resolved
    >>> from upsample_cli.images.model import ImageInfo
    >>> resolved = Resolved("jpeg", Layout("rgb"), None, KernelChoice("bilinear", 2), (6000, 8000))
    >>> job_bytes(Job(Path("a.jpg"), Path("b.jpg"), ImageInfo("jpeg", 3000, 4000, Layout("rgb")), resolved)) // 10**6
    115
    """
    pixels, header, output = job.height * job.width, job.header, job.resolved.layout
    decoded = pixels * _pixel_bytes(header.layout, _DECODED_BYTES.get(header.format, 4))
    if job.resolved.frames is not None and job.resolved.frames.kind == "animation":
        decoded = held = pixels * _ANIMATION_BYTES
    else:
        held = min(decoded, pixels * _pixel_bytes(header.layout, _HELD_BYTES))
    held += header.decoding_bytes if header.format in _HOLDING else 0
    factor = job.resolved.kernel.factor
    height, width = job.height * factor, job.width * factor
    in_bands = min(_BAND_BYTES, 8 * height * width * output.channels * output.depth // 8)
    reduced = 0 if job.size == (height, width) else min(_REDUCED_ROWS, height) * width * output.channels * 8
    working = 0 if job.resolved.model is None else job.resolved.model.whole_bytes(job.height, job.width)
    after = held + working + _encoder_bytes(job) + reduced
    return max(decoded + header.decoding_bytes, after) + in_bands


def _encoder_bytes(job: Job) -> int:
    """Memory of the encoder, the collected pixels included."""
    header, output, pixels = job.header, job.resolved.layout, math.prod(job.size)
    pixel_bytes = output.channels * output.depth // 8
    if job.format == "jxl":
        in_groups = (12 + 16 * output.channels) * min(pixels, _JXL_GROUPS_PIXELS)
        is_float = not header.lossless and (header.states_colours or output.depth > 8)  # see `jxl.writer`
        return in_groups + int((8.7 * output.channels if is_float else 2.7 * pixel_bytes) * pixels)
    table = _LOSSLESS_BYTES if header.lossless else _SUBSAMPLED_BYTES if header.jpeg_subsampling else {}
    of_grey, of_colour, of_alpha = (_ENCODED_BYTES | table)[job.format]
    return pixels * (of_alpha if output.alpha else of_colour if output.channels > 1 else of_grey)


def _pixel_bytes(layout: Layout, of_colour: int) -> int:
    if layout.depth == 8 or not of_colour:
        return of_colour if layout.channels > 1 else -(-of_colour // 4)
    return layout.channels * layout.depth // 8


def budget_bytes(options: Options) -> int | None:
    """Memory for all images in flight: `memory_bytes`, by default half of what is available; None if unknown."""
    if options.memory_bytes is not None:
        return options.memory_bytes
    available = available_bytes()
    return None if available is None else int(_SHARE * available)


def shared_out(options: Options, slots: int) -> Options:
    """The options for each of `slots` workers, with its share of the memory.

    >>> shared_out(Options(memory_bytes=1000), 4).memory_bytes
    250
    """
    return options if options.memory_bytes is None else replace(options, memory_bytes=options.memory_bytes // slots)


def worker_count(jobs: int, device: str) -> int:
    """Number of workers for `jobs` images: one per core, fewer if they would take more than half of the memory.

    Args:
        device: the device in the options.
    """
    available = available_bytes()
    imports_torch = device != "cpu" and (device != "auto" or has_cuda_driver())
    worker_bytes = _TORCH_WORKER_BYTES if imports_torch else _WORKER_BYTES
    fitting = core_count() if available is None else int(_SHARE * available) // worker_bytes
    return max(1, min(jobs, core_count(), fitting))


class Admission:
    """Decides which images may be in flight at the same time.

    These are one image per slot and one queued image. Small images count for less, so a worker receives several at
    once. The sum of their `job_bytes` stays within the budget. An image that exceeds the budget is in flight alone.

    Args:
        slots: number of images that run at once.
        budget_bytes: memory for all of them together; None for no limit.
    """

    def __init__(self, slots: int, budget_bytes: int | None) -> None:
        self.slots = slots
        self._work_left = float(slots + 1)
        self._costs: dict[Job, _Cost] = {}
        self._last: tuple[Job, _Cost] | None = None
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self.in_flight = 0

    def takes(self, job: Job) -> bool:
        """Whether the image may start; if so, it counts from now on."""
        cost = self._costs[job] = self._costs.get(job) or self._cost(job)
        if self.in_flight and (
            self._work_left < cost.work
            or (self._budget_bytes is not None and self._used_bytes + cost.held_bytes > self._budget_bytes)
        ):
            return False
        self._count(cost, 1)
        return True

    def _cost(self, job: Job) -> _Cost:
        """The cost of an image; that of the image before, if both have the same header (see `enlarge.by_header`)."""
        last = self._last
        if last is None or last[0].header is not job.header or last[0].resolved is not job.resolved:
            last = self._last = job, _Cost(job_bytes(job), work(job))
        return last[1]

    def leave(self, job: Job) -> None:
        """The image has ended."""
        self._count(self._costs.pop(job) if job in self._costs else self._cost(job), -1)

    def _count(self, cost: _Cost, sign: int) -> None:
        self.in_flight += sign
        self._used_bytes += sign * cost.held_bytes
        self._work_left -= sign * cost.work


class _Cost(NamedTuple):
    """What an image in flight takes: `job_bytes`, and `work`."""

    held_bytes: int
    work: float


def work(job: Job) -> float:
    """How much of a slot an image takes: 1 for a large one, 1/32 for the smallest."""
    return max(1 / _MOST_PER_SLOT, min(1.0, job.height * job.width / _WORK_PIXELS))
