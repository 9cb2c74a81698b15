"""Disk space: lower bounds compared with written files, and refusals before writing."""

import io
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from upsample_cli.batch.inputs import Found
from upsample_cli.batch.outputs import Outputs
from upsample_cli.batch.plan import plan_run
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import check_output, plan_job
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.model import Layout, Metadata
from upsample_cli.images.save import open_sink
from upsample_cli.images.space import check_space, free_bytes, least_file_bytes, size_text

Usage = namedtuple("Usage", "total used free")
HEIGHT, WIDTH = 501, 703


def written_bytes(fmt, layout, quality):
    file = io.BytesIO()
    sink = open_sink(file, fmt, height=HEIGHT, width=WIDTH, layout=layout, metadata=Metadata(), quality=quality)
    sink.write_rows(np.full((HEIGHT, WIDTH, layout.channels), 7, layout.dtype))
    sink.finish()
    return len(file.getvalue())


@pytest.mark.parametrize("layout", [Layout("grey"), Layout("rgb"), Layout("rgb", alpha=True, depth=16)], ids=str)
@pytest.mark.parametrize("name", FORMATS)
def test_no_file_is_smaller_than_the_lower_bound(name, layout):
    """A flat image gives the smallest file; without deflate, the file is the bound plus header and filter bytes."""
    fmt = FORMATS[name]
    if layout not in fmt.layouts:
        layout = Layout("rgb")
    for quality in (None, *({fmt.quality_range[0], 1, 9} if fmt.streams and fmt.quality_range else ())):
        least, found = least_file_bytes(fmt, HEIGHT, WIDTH, layout, quality), written_bytes(fmt, layout, quality)
        assert least <= found
        if name in {"bmp", "pnm"} or quality == 0:
            assert found - least < 2000 + 8 * HEIGHT  # header, palette, filter bytes, padding
            assert least * 1.02 > found - 1100  # the control: the bound is close
        assert not fmt.streams or least > 0


@pytest.fixture
def nearly_full(monkeypatch):
    def fill(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 10**12 - free, free))

    return fill


def test_an_output_is_refused_only_if_it_does_not_fit(nearly_full, tmp_path):
    nearly_full(999)
    check_space(tmp_path / "a.tif", 999)
    with pytest.raises(ImageError, match=r"a\.tif: takes at least 1000 bytes, and 999 bytes are free there; "):
        check_space(tmp_path / "a.tif", 1000)


def test_the_space_of_a_missing_folder_is_that_of_its_parent(tmp_path):
    assert free_bytes(tmp_path / "not" / "there" / "a.png") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.01)


def test_a_disk_without_space_information_refuses_nothing(monkeypatch, tmp_path):
    def refuse(_path):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    check_space(tmp_path / "a.tif", 10**18)


def test_an_image_that_does_not_fit_is_refused_before_it_is_read(nearly_full, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    nearly_full(4 * 3 * WIDTH * HEIGHT - 1)
    with pytest.raises(ImageError, match=r"b\.bmp: takes at least 4\.0 MiB, and 4\.0 MiB are free there"):
        upsample_file(tmp_path / "a.png", tmp_path / "b.bmp")
    assert not (tmp_path / "b.bmp").exists()
    nearly_full(4 * 3 * WIDTH * HEIGHT)
    assert upsample_file(tmp_path / "a.png", tmp_path / "b.bmp").status == "written"  # the control


def test_a_run_that_does_not_fit_is_refused_at_once(nearly_full, tmp_path):
    for name in "abc":
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{name}.png")
    inputs = [Found(str(tmp_path / f"{name}.png")) for name in "abc"]
    one_bytes = 4 * 3 * WIDTH * HEIGHT
    nearly_full(3 * one_bytes)
    entries = plan_run(inputs, Outputs(folder=tmp_path / "out"), Options(format="bmp"))
    assert [entry.result.status for entry in entries] == ["planned"] * 3
    nearly_full(3 * one_bytes - 1)
    with pytest.raises(UsageError, match=r"the outputs take at least 12\.1 MiB, and 12\.1 MiB are free in .*out"):
        plan_run(inputs, Outputs(folder=tmp_path / "out"), Options(format="bmp"))
    nearly_full(one_bytes - 1)
    entries = plan_run(inputs, Outputs(folder=tmp_path / "out"), Options(format="bmp"))
    assert [entry.result.status for entry in entries] == ["failed"] * 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1 << 10, "1.0 KiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_are_printed_with_units(size, text):
    assert size_text(size) == text


@pytest.mark.parametrize("target", ["b.png", "b.tif"])
def test_every_frame_and_page_counts_towards_the_space(target, tmp_path, nearly_full):
    """Without deflate, the files are the bound plus headers, filter bytes and, for pages, colours not in the plan."""
    images = [Image.fromarray(np.full((40, 30 + 20 * index, 3), 9, np.uint8)) for index in range(3)]
    if target == "b.png":
        images = [images[0].point(lambda level, shift=index: level + shift) for index in range(3)]
    source = tmp_path / f"a{target[1:]}"
    images[0].save(source, save_all=True, append_images=images[1:])
    options = Options(quality=0)
    job = plan_job(source, options, output=tmp_path / target)
    upsample_file(source, tmp_path / target, quality=0)
    found = (tmp_path / target).stat().st_size
    pixels = sum(4 * image.width * image.height for image in images)
    first = 4 * images[0].width * images[0].height
    assert job.least_bytes == (3 * pixels if target == "b.png" else 3 * first + (pixels - first))
    assert job.least_bytes <= found
    nearly_full(3 * first + 1000)  # enough only for the first
    with pytest.raises(ImageError, match="takes at least"):
        check_output(replace(job, output=tmp_path / "c"), options)
