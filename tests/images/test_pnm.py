"""Netpbm formats: every kind is read from bytes built by hand, and written files are compared with Pillow."""

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.facts import lines
from support.oracles import assert_same_pixels, expected_pixels
from support.running import COMMAND, ENVIRONMENT

from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.model import Layout, Metadata
from upsample_cli.images.open import open_image, read_header
from upsample_cli.images.save import open_sink

pytestmark = pytest.mark.usefixtures("in_tmp_path")

GREY = np.arange(15, dtype=np.uint8).reshape(3, 5, 1) * 17
RGB16 = np.random.default_rng(2).integers(0, 65536, (3, 5, 3), np.uint16)
BITS = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 0, 1], [1, 1, 1, 0, 0]])
RGBA = np.random.default_rng(3).integers(0, 256, (3, 5, 4), np.uint8)


def plain(pixels):
    return " ".join(map(str, pixels.ravel())).encode()


def pam(pixels, most, kind=None):
    height, width, depth = pixels.shape
    warning = f"TUPLTYPE {kind}\n" if kind else ""
    head = f"P7\n# a remark\nHEIGHT {height}\nWIDTH {width}\nDEPTH {depth}\n\nMAXVAL {most}\n{warning}ENDHDR\n"
    return head.encode() + pixels.astype(">u2" if most > 255 else "u1").tobytes()


WHITE_BITS = ((1 - BITS) * 255).astype(np.uint8)[..., None]
KINDS = {
    "P1": (b"P1\n5 3\n10011\n01001 # row 10\n1 1 1 0 0\n", WHITE_BITS),
    "P2": (b"P2 5 3 255\n# 12 levels\n" + plain(GREY), GREY),
    "P2 of 16": (b"P2\n5 3\n65535\n" + plain(RGB16[..., :1]), RGB16[..., :1]),
    "P3": (b"P3\n5 3\n255\n" + plain(RGBA[..., :3]), RGBA[..., :3]),
    "P3 of 16": (b"P3\n5 3\n65535\n" + plain(RGB16), RGB16),
    "P4": (b"P4\n5 3\n" + np.packbits(BITS, axis=1).tobytes(), WHITE_BITS),
    "P5": (b"P5\n# made by hand\n5 # wide\n3\n255\n" + GREY.tobytes(), GREY),
    "P5 of 16": (b"P5 5 3 65535\n" + RGB16[..., :1].astype(">u2").tobytes(), RGB16[..., :1]),
    "P6": (b"P6\n5 3\n255\n" + RGBA[..., :3].tobytes(), RGBA[..., :3]),
    "P6 of 16": (b"P6\n5 3\n65535\n" + RGB16.astype(">u2").tobytes(), RGB16),
    "P7 bits": (pam(1 - BITS[..., None], 1, "BLACKANDWHITE"), WHITE_BITS),
    "P7 grey": (pam(GREY, 255, "GRAYSCALE"), GREY),
    "P7 colour with alpha": (pam(RGBA, 255, "RGB_ALPHA"), RGBA),
    "P7 of no type": (pam(RGBA[..., :2], 255), RGBA[..., :2]),
    "P7 of 16": (pam(RGB16, 65535, "RGB"), RGB16),
}


def read(data, step=2):
    with open_image(io.BytesIO(data)) as source:
        height = source.info.height
        return np.concatenate([source.read_rows(top, min(top + step, height)) for top in range(0, height, step)])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read(kind):
    data, wanted = KINDS[kind]
    info, metadata = read_header(io.BytesIO(data))
    colour, alpha = ("grey", "rgb")[wanted.shape[2] > 2], wanted.shape[2] in {2, 4}
    assert info.layout == Layout(colour, alpha, 8 * wanted.itemsize)
    assert (info.height, info.width, info.format, info.lossless, info.losses) == (3, 5, "pnm", True, ())
    assert replace(metadata, text=()) == Metadata()
    remark = "a remark" if data[:2] == b"P7" else "made by hand\nwide" if kind == "P5" else None
    assert metadata.text == ((("Comment", remark),) if remark else ())
    assert_same_pixels(read(data), wanted)


@given(most=st.integers(1, 65535), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_other_maximum_levels_are_scaled_and_rounded_once(most, seed):
    levels = np.random.default_rng(seed).integers(0, most + 1, (3, 5, 1))
    full = 255 if most < 256 else 65535
    data = f"P5\n5 3\n{most}\n".encode() + levels.astype(">u2" if most > 255 else "u1").tobytes()
    found = read(data).ravel().tolist()
    for ours, level in zip(found, levels.flat, strict=True):
        assert abs(ours * most - int(level) * full) * 2 <= most  # the nearest level
    assert (found == levels.ravel().tolist()) == (most == full or not levels.any())  # the control


def test_a_level_above_white_is_white():
    assert read(b"P5\n2 1\n100\n\x64\xff").ravel().tolist() == [255, 255]
    for most, white in ((100, 255), (255, 255), (1000, 65535), (65535, 65535)):
        text = f"P2 4 1 {most} 0 {most} {most + 45} 99999999999"
        assert read(text.encode()).ravel().tolist() == [0, white, white, white]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_ends_early_is_truncated(kind):
    """In plain text the last word is missing: half a number cannot be recognized."""
    data = KINDS[kind][0]
    cut = data.rstrip().rpartition(b" ")[0] if kind[:2] in {"P1", "P2", "P3"} else data[:-1]
    with pytest.raises(ImageError, match="truncated"):
        read(cut)


@pytest.mark.parametrize(
    "data",
    [
        b"P5\n0 3\n255\n", b"P5\n5 3\n0\n" + bytes(15), b"P5\n5 3\n65536\n" + bytes(30), b"P5\n5\n", b"P2 2 1 255 -1 3",
        b"P2 2 1 255 1 x", b"P7\nWIDTH 5\n", pam(GREY, 255, "RGB"), pam(GREY, 255, "CMYK"),
        b"P5\n" + b"9" * 5000 + b" 3 255\n",
    ],
    ids=range(10),
)  # fmt: skip
def test_an_invalid_header_or_level_is_damage(data):
    with pytest.raises(ImageError, match="is damaged"):
        read(data)


def test_a_size_beyond_the_limit_is_refused_before_pixels_are_read():
    with pytest.raises(ImageError, match="more than the limit of 100"):
        read_header(io.BytesIO(b"P6\n60000 60000\n255\n"), max_pixels=100)


def test_a_letter_and_a_digit_are_not_enough_for_an_image():
    with pytest.raises(ImageError, match="is not an image"):
        read_header(io.BytesIO(b"P5000 is a printer"))


def test_images_after_the_first_are_reported():
    data = KINDS["P5"][0]
    assert lines(read_header(io.BytesIO(data * 2))[0].losses) == ("the images behind the first one in it are left out",)
    assert read_header(io.BytesIO(data + b"\n"))[0].losses == ()


@pytest.mark.parametrize("layout", sorted(FORMATS["pnm"].layouts, key=str), ids=str)
def test_rows_written_in_bands_are_read_back(layout):
    rows = np.random.default_rng(5).integers(0, 2**layout.depth, (7, 5, layout.channels)).astype(layout.dtype)
    file = io.BytesIO()
    sink = open_sink(file, FORMATS["pnm"], height=7, width=5, layout=layout, metadata=Metadata())
    for top in (0, 3, 4):
        sink.write_rows(rows[top : (3, 4, 7)[(0, 3, 4).index(top)]].copy())
    sink.finish()
    big_endian = rows.astype(rows.dtype.newbyteorder(">")).tobytes()
    assert file.getvalue().endswith(b"\n" + big_endian)
    assert_same_pixels(read(file.getvalue(), 3), rows)
    if layout.depth == 8 and not layout.alpha:  # Pillow reads these
        assert_same_pixels(np.array(Image.open(io.BytesIO(file.getvalue()))).reshape(rows.shape), rows)


@pytest.mark.parametrize("kind", ["P6 of 16", "P4", "P7 colour with alpha"])
def test_pnm_images_are_enlarged_exactly_and_keep_their_kind(kind, tmp_path):
    data, rows = KINDS[kind]
    suffix = ".pam" if kind.startswith("P7") else ".ppm"
    (tmp_path / f"a{suffix}").write_bytes(data)
    result = upsample_file(f"a{suffix}", None, 3)
    assert result.warnings == ()
    wanted = expected_pixels(rows, 3, has_alpha=rows.shape[2] == 4)
    assert_same_pixels(read((tmp_path / f"a_x3{suffix}").read_bytes()), wanted)


@pytest.mark.parametrize(
    ("kind", "name", "magic", "warning"),
    [
        ("P6 of 16", "o.pgm", b"P6", "its name ends in .pgm, and it holds colour: it is written as PPM"),
        ("P6 of 16", "o.PBM", b"P6", "its name ends in .PBM, and it holds colour: it is written as PPM"),
        ("P4", "o.pbm", b"P5", "its name ends in .pbm, and it holds levels of grey: it is written as PGM"),
        ("P7 colour with alpha", "o.ppm", b"P7", "its name ends in .ppm, and it holds transparency: it is written as"),
        ("P4", "o.pgm", b"P5", None),
        ("P4", "o.ppm", b"P5", None),
        ("P4", "o.pam", b"P7", None),
        ("P6 of 16", "o.ppm", b"P6", None),
        ("P6 of 16", "o.pnm", b"P6", None),
        ("P6 of 16", "o.pam", b"P7", None),
        ("P7 colour with alpha", "o.pam", b"P7", None),
    ],
)
def test_a_name_for_another_kind_is_kept_with_a_warning(kind, name, magic, warning, tmp_path):
    data, rows = KINDS[kind]
    (tmp_path / "in").write_bytes(data)
    planned = plan_job(Path("in"), Options(factor=2), output=Path(name))
    result = upsample_file("in", name, 2)
    assert result.warnings == lines(planned.losses)
    assert [line.startswith(warning) for line in result.warnings] == ([] if warning is None else [True])
    written = (tmp_path / name).read_bytes()
    assert written[:2] == magic
    assert_same_pixels(read(written), expected_pixels(rows, 2, has_alpha=rows.shape[2] == 4))


def test_an_enlarged_bitmap_gets_the_extension_of_a_greymap(tmp_path):
    (tmp_path / "a.PBM").write_bytes(KINDS["P4"][0])
    result = upsample_file("a.PBM")
    assert (result.output.name, result.warnings) == ("a_x2.pgm", ())


def test_pnm_images_can_be_piped():
    command = [*COMMAND, "-", "-o", "-", "--format", "ppm"]
    done = subprocess.run(command, input=KINDS["P6 of 16"][0], capture_output=True, check=True, env=ENVIRONMENT)
    assert done.stdout.startswith(b"P6\n10 6\n65535\n")
    assert_same_pixels(read(done.stdout), expected_pixels(RGB16, 2, has_alpha=False))
