"""Which images in a TIFF are pages; a page that cannot be read does not affect the others."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.facts import lines
from support.oracles import assert_same_pixels, hostile_pixels
from support.running import names, upsample
from support.tiffs import ASCII, LONG, SHORT, built, page

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.open import open_image, probe

pytestmark = pytest.mark.usefixtures("in_tmp_path")

MASK = "its transparency mask, which is an image of its own, is left out"


def grey(seed, height=6, width=9, **tags):
    """A grey page of noise, and its pixels."""
    pixels = hostile_pixels((height, width), np.uint8, seed)
    return page(height, width, pixels.tobytes(), **tags), pixels


def kept(data):
    """The pages of the enlarged file, by tifffile."""
    Path("a.tif").write_bytes(data)
    result = upsample_file("a.tif", "b.tif", overwrite=True, kernel="nearest")
    with tifffile.TiffFile("b.tif") as tiff:
        return [page.asarray() for page in tiff.pages], result.warnings


def is_page(found, pixels):
    return np.array_equal(found, pixels.repeat(2, 0).repeat(2, 1))


REDUCED = {"t254": (LONG, 1)}, {"t254": (LONG, 5)}, {"t255": (SHORT, 2)}


@pytest.mark.parametrize("tags", REDUCED, ids=str)
def test_reduced_copies_are_not_pages_at_any_position(tags):
    (first, one), (second, two), (small, _) = grey(1), grey(2), grey(3, 3, 4, **tags)
    for order in ((first, small, second), (small, first, second), (first, second, small, small)):
        found, warnings = kept(built(*order))
        assert warnings == ()
        assert len(found) == 2
        assert is_page(found[0], one)
        assert is_page(found[1], two)
    found, _ = kept(built(first, small))
    assert len(found) == 1
    with open_image(io.BytesIO(built(small, first, second)), frame=2) as source:
        assert_same_pixels(source.read_rows(0, 6)[..., 0], two)


def test_a_file_with_only_reduced_images_gives_all_with_a_warning():
    found, warnings = kept(built(grey(1, t254=(LONG, 1))[0], grey(2, t254=(LONG, 1))[0]))
    assert len(found) == 2
    assert "small preview" in warnings[0]


@pytest.mark.parametrize(("kind", "text"), [(4, MASK), (8, "its depth map"), (12, MASK)])
def test_a_mask_is_not_a_page_and_is_reported(kind, text):
    mask = page(6, 9, bytes(12), bits=1, photometric=4, t254=(LONG, kind))
    (first, one), (second, two) = grey(1), grey(2)
    found, warnings = kept(built(first, mask, second))
    assert text in warnings[0]
    assert len(warnings) == 1 + (kind == 12)
    assert len(found) == 2
    assert is_page(found[0], one)
    assert is_page(found[1], two)
    assert lines(probe(io.BytesIO(built(first, second, mask))).losses) == ()  # the mask belongs to the second page
    Path("c.tif").write_bytes(built(first, mask))
    assert text in upsample("c.tif", "-o", "d.tif", "--strict").errors[0]
    assert text in upsample("c.tif", "-o", "d.tif", "--frame", 1).err


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("counted", [1, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_pages_of_an_imagej_stack_are_read_from_one_directory(dtype, counted, order):
    stack = np.arange(5 * 6 * 9).reshape(5, 6, 9).astype(np.dtype(dtype).newbyteorder(order))
    text = b"ImageJ=1.53t\nimages=5\nslices=5\nloop=false\n\0"
    bits = stack.itemsize * 8
    tags, data = page(
        6, 9, stack.tobytes(), bits=bits, t270=(ASCII, text), t339=(SHORT, 3 if dtype == np.float32 else 1)
    )
    tags[279] = LONG, counted * stack[0].nbytes  # of the first page or of all pages
    found, warnings = kept(built((tags, data), order=order))
    assert warnings == ()
    assert len(found) == 5
    assert all(is_page(each, pixels) for each, pixels in zip(found, stack, strict=True))
    with tifffile.TiffFile("b.tif") as tiff:
        assert tiff.series[0].shape == (5, 12, 18)  # tifffile sees a stack
    assert any(not np.array_equal(one, other) for one, other in pairwise(found))


def broken(seed):
    """A page whose deflate data is invalid."""
    (tags, _), _ = grey(seed, t259=(SHORT, 8))
    return tags, b"\x78\x9c" + bytes(52)


def strange(seed):
    """A page with complex numbers."""
    (tags, data), _ = grey(seed, bits=64, t339=(SHORT, 6))
    return tags, data * 8


def cut_short(seed):
    (tags, data), _ = grey(seed)
    return tags | {273: (LONG, 1 << 24)}, data


@pytest.mark.parametrize("bad", [broken, strange, cut_short])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_bad_page_costs_only_that_page(bad, place):
    (first, one), (second, two) = grey(1), grey(2, 8, 5)
    pages = [first, second]
    pages.insert(place - 1, bad(3))
    found, warnings = kept(built(*pages))
    assert len(warnings) == 1
    assert warnings[0].startswith(f"page {place} of 3 is left out: ")
    assert len(found) == 2
    assert is_page(found[0], one)
    assert is_page(found[1], two)
    done = upsample("a.tif", "-o", "c.tif", "--strict")
    assert done.status == 1
    assert f"page {place} of 3" in done.errors[0]
    assert names(".") == ["a.tif", "b.tif"]
    assert "leave out" not in upsample("a.tif", "-o", "c.tif", "--frame", place).errors[0]


def test_a_file_with_only_bad_pages_fails():
    Path("a.tif").write_bytes(built(broken(1), broken(2)))
    with pytest.raises(ImageError, match="is damaged"):
        upsample_file("a.tif", "b.tif")
    Path("a.tif").write_bytes(built(strange(1), strange(2)))
    with pytest.raises(ImageError, match="not supported"):
        upsample_file("a.tif", "b.tif")
    assert names(".") == ["a.tif"]


def test_a_page_with_a_damaged_later_strip_is_left_out_completely():
    """Some rows have been written before the damage is found; the output looks as if the page had not been started."""
    pixels = hostile_pixels((64, 40), np.uint8, 5)
    for name, is_whole in (("whole", True), ("bad", False)):
        with tifffile.TiffWriter(f"{name}.tif") as writer:
            writer.write(hostile_pixels((6, 9), np.uint8, 1), metadata=None)
            if not is_whole:
                writer.write(pixels, metadata=None, compression="zlib", rowsperstrip=4)
            writer.write(hostile_pixels((6, 9), np.uint8, 2), metadata=None)
    data = bytearray(Path("bad.tif").read_bytes())
    with tifffile.TiffFile("bad.tif") as tiff:
        at = tiff.pages[1].dataoffsets[12]
    data[at : at + 20] = bytes(20)
    Path("bad.tif").write_bytes(data)
    for name in ("whole", "bad"):
        upsample_file(f"{name}.tif", f"{name}_x2.tif")
    assert Path("bad_x2.tif").read_bytes() == Path("whole_x2.tif").read_bytes()


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_a_page_with_a_false_size_fails_only_its_file(compression):
    liar = page(3_000_000, 3_000_000, bytes(16), t259=(SHORT, compression))
    Path("in").mkdir()
    for name in ("a", "b"):
        Path(f"in/{name}.tif").write_bytes(built(grey(1)[0], liar))
    Path("in/c.tif").write_bytes(built(grey(1)[0]))
    done = upsample("in", "-o", "out", "--max-pixels", 10**13)
    assert done.status == 1
    assert [line.split(":")[0] for line in done.errors] == ["in/a.tif", "in/b.tif"]
    assert all("says that it holds 3000000×3000000 pixels in" in line for line in done.errors)
    assert names("out") == ["c_x2.tif"]
    planned = upsample("in", "-o", "other", "-n", "--json", "--max-pixels", 10**13)
    assert [file["status"] for file in planned.document["files"]] == ["failed", "failed", "planned"]


def test_pages_after_the_end_of_the_file_are_reported():
    (first, one), (second, two), (small, _) = grey(1), grey(2), grey(3, 3, 4, t254=(LONG, 1))
    whole = built(first, second)
    data = bytearray(whole)
    with tifffile.TiffFile(io.BytesIO(whole)) as tiff:
        at = tiff.pages[1].offset
    count = int.from_bytes(whole[at : at + 2], "little")
    data[at + 2 + 12 * count : at + 6 + 12 * count] = (1 << 20).to_bytes(4, "little")
    found, warnings = kept(bytes(data))
    assert len(found) == 2
    assert is_page(found[0], one)
    assert is_page(found[1], two)
    assert [line.split(";")[0] for line in warnings] == ["the file ends, or is damaged, before the pages that follow"]
    assert lines(probe(io.BytesIO(bytes(data))).losses) == warnings
    cut = built(small, first)[:-100]
    with pytest.raises(ImageError, match="truncated"):
        probe(io.BytesIO(cut))


def test_a_sparse_file_is_accepted_and_one_with_false_sizes_is_refused():
    """GDAL does not store empty tiles; this file has 90,000 by 90,000 pixels in 92 KB."""
    side, tiles = 90_000, 88**2
    for sizes, is_read in (((0,) * tiles, True), ((1,) * tiles, False)):
        tags, _ = page(side, side, b"", t259=(SHORT, 8), t322=(LONG, 1024), t323=(LONG, 1024))
        del tags[278], tags[279]
        data = built((tags | {273: (LONG, 0), 324: (LONG, sizes), 325: (LONG, sizes)}, b""))
        if is_read:
            assert probe(io.BytesIO(data), max_pixels=10**10).width == side
        else:
            with pytest.raises(ImageError, match="says that it holds 90000×90000 pixels"):
                probe(io.BytesIO(data), max_pixels=10**10)


def test_a_high_deflate_ratio_is_accepted():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((9000, 9000), np.uint8), compression="zlib", metadata=None, rowsperstrip=9000)
    assert len(file.getvalue()) < 100_000
    assert probe(io.BytesIO(file.getvalue())).height == 9000


def test_a_page_over_the_limit_names_the_option_that_allows_it():
    Path("a.tif").write_bytes(built(grey(1)[0], grey(2, 40, 50)[0]))
    done = upsample("a.tif", "-o", "b.tif", "--max-pixels", 1000)
    assert done.status == 0
    assert "page 2 of 2 is left out: 50×40 is 2000 pixels" in done.err
    assert "add --max-pixels 2000 if you trust the file" in done.err
