"""The decisions about one image as a table: (header, options, path) -> result."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.facts import lines
from support.jobs import job_of

from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.resolve import KernelChoice, resolve
from upsample_cli.errors import ImageError
from upsample_cli.images.formats import format_of_path
from upsample_cli.images.model import Frames, ImageInfo, Layout, Metadata
from upsample_cli.kernels.choice import chosen_kernel

RGB, RGBA, GREY = Layout("rgb"), Layout("rgb", alpha=True), Layout("grey")
DEEP = Layout("rgb", depth=16)
PHOTO = ImageInfo("jpeg", 20, 30, RGB)
MOVING = Frames(3, "animation", RGBA)
OVER_WHITE = "JPEG cannot hold transparency; it is laid over white"
STRETCHED = "30x20 pixels are stretched to 30x30 (fit keeps the proportion)"

TABLE = {
    "by default": (PHOTO, {}, "o.jpg", RGB, ("bilinear", 2), (40, 60), ()),
    "a fraction": (PHOTO, {"factor": Fraction(3, 2)}, "o.jpg", RGB, ("bilinear", 2), (30, 45), ()),
    "a kernel": (PHOTO, {"kernel": "lanczos3", "factor": 3}, "o.jpg", RGB, ("lanczos3", 3), (60, 90), ()),
    "a box": (PHOTO, {"fit": (60, 60)}, "o.png", RGB, ("bilinear", 2), (40, 60), ()),
    "smaller": (PHOTO, {"width": 15, "kernel": "bicubic"}, "o.png", RGB, ("nearest", 1), (10, 15), ()),
    "stretched": (PHOTO, {"size": (30, 30)}, "o.png", RGB, ("bilinear", 2), (30, 30), (STRETCHED,)),
    "alpha lost": (ImageInfo("png", 2, 3, RGBA), {}, "o.jpg", RGB, ("bilinear", 2), (4, 6), (OVER_WHITE,)),
    "alpha kept": (ImageInfo("png", 2, 3, RGBA), {}, "o.png", RGBA, ("bilinear", 2), (4, 6), ()),
    "8 bits asked for": (ImageInfo("png", 2, 3, DEEP), {"depth": "8"}, "o.jpg", RGB, ("bilinear", 2), (4, 6), ()),
    "header's own": (ImageInfo("png", 2, 3, GREY, ("odd",)), {}, "o.png", GREY, ("bilinear", 2), (4, 6), ("odd",)),
    "another kind of PNM": (
        ImageInfo("pnm", 2, 3, RGB), {}, "o.pgm", RGB, ("bilinear", 2), (4, 6),
        ("its name ends in .pgm, and it holds colour: it is written as PPM",),
    ),
}  # fmt: skip


def resolved(info, options, output, metadata=None):
    return resolve(
        Path("a.img"), info, metadata or Metadata(), format_of_path(output), Options(**options), Path(output)
    )


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_header_options_and_path_decide_everything(row):
    info, options, output, layout, kernel, size, warnings = row
    made = resolved(info, options, output)
    assert (made.format, made.layout, made.size) == (format_of_path(output).name, layout, size)
    assert (made.kernel.text, made.kernel.factor, lines(made.warnings)) == (*kernel, warnings)
    assert made.kernel.load() == chosen_kernel(*kernel)


def test_frames_are_kept_if_the_format_supports_them_and_otherwise_counted_as_lost():
    info = ImageInfo("gif", 2, 3, RGBA, frames=MOVING)
    kept, lost = resolved(info, {}, "o.webp"), resolved(info, {}, "o.png")
    assert kept.frames == MOVING
    assert not kept.losses
    assert resolved(info, {}, "o.bmp").frames is None
    assert any("of 3 the first is kept" in line for line in lines(resolved(info, {}, "o.bmp").losses))
    assert lost.frames == MOVING  # o.png is an animated PNG


def test_colours_that_gif_may_lose_are_a_possible_loss():
    made = resolved(PHOTO, {}, "o.gif")
    assert made.possible
    assert not made.warnings


@pytest.mark.parametrize(
    ("options", "message"),
    [({"fit": (5000, 5000)}, "ask for 64 times"), ({"kernel": "fitted", "size": (100, 150)}, "needs 5 times")],
)
def test_an_impossible_enlargement_names_the_image(options, message):
    with pytest.raises(ImageError, match=rf"^a\.img: .*{message}"):
        resolved(PHOTO, options, "o.png")


def test_a_kernel_is_pickled_by_name_and_shared_within_a_process(in_tmp_path):
    np.save("mine.npy", np.random.default_rng(0).random((1, 1, 64, 64)))
    jobs = [resolved(PHOTO, {"kernel": "mine.npy"}, "o.png") for _ in range(2)]
    assert jobs[0].kernel.load() is jobs[1].kernel.load()
    assert len(pickle.dumps(jobs[0])) < 1000 < len(pickle.dumps(jobs[0].kernel.load()))
    arrived = pickle.loads(pickle.dumps(jobs[0]))
    assert arrived == jobs[0]
    assert arrived.kernel.load() == jobs[0].kernel.load()
    assert arrived.kernel == KernelChoice("mine.npy", 2)


def test_a_job_arrives_in_another_process_as_it_was():
    job = job_of("in/a é.png", "out/b.png", 3, 4)
    arrived = pickle.loads(pickle.dumps(job))
    assert {name: getattr(arrived, name) for name in Job.__slots__} == {
        name: getattr(job, name) for name in Job.__slots__
    }
    assert isinstance(arrived.input, Path)
    assert isinstance(arrived.output, Path)
    other = pickle.loads(pickle.dumps(replace(job, accessed_ns=7)))  # the control
    assert (other.accessed_ns, job.accessed_ns) == (7, None)


def test_metadata_is_not_stored_in_a_job():
    large = Metadata(exif=b"II*\0" + bytes(50_000))
    assert len(pickle.dumps(resolved(PHOTO, {}, "o.png", large))) < 1000
