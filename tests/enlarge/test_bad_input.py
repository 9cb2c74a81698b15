"""Bad files made here: one line each, in bounded time and memory, without leftovers. See corpus.py and fuzz.py."""

import os
import random
import struct
import time
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import corpus
from support.corpus import HEIGHT, RGB, WIDTH, good_files, mutated, png, saved, tiff, truncated
from support.read_only import read_only_files
from support.reading import exercise, peak_bytes
from support.running import names, save, tree, upsample, upsample_process

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError, UpsampleError
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.open import open_image, read_header

GOOD = good_files() | read_only_files()
LONGEST_S, MOST_BYTES = 5.0, 300 << 20
HUGE = 2**31 - 1


def read(data, target="png"):
    """The rows of an image, or the one line of the error; an encoder may refuse too."""
    try:
        return exercise(data, target)
    except UpsampleError as error:
        line = str(error)
    except OSError as error:
        line = str(error)
        if "encoder gave up" not in line:
            raise
    if "\n" in line:
        raise ValueError(line)
    return line


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_read(name):
    """The control for all tests below: every undamaged file can be read."""
    assert isinstance(read(GOOD[name]), np.ndarray)


@pytest.mark.parametrize("name", GOOD)
def test_a_truncated_file_is_one_line_or_decodes_completely(name):
    """If a decoder accepts a truncated file, its rows must be those of the complete file."""
    whole = exercise(GOOD[name])
    outcomes = []
    for tenth, data in truncated(GOOD[name]):
        outcome = read(data)
        outcomes.append(outcome)
        if not isinstance(outcome, str):
            np.testing.assert_array_equal(outcome, whole, err_msg=f"{name} at {tenth} tenths")
    assert all(isinstance(outcome, str) for outcome in outcomes[:3])


@pytest.mark.parametrize("name", GOOD)
def test_flipped_bits_give_rows_or_one_line(name):
    random_ = random.Random(name)
    for _ in range(40):
        data = bytearray(GOOD[name])
        for at in random_.choices(range(len(data)), k=random_.choice((1, 8))):
            data[at] ^= 1 << random_.randrange(8)
        outcome = read(bytes(data))
        assert isinstance(outcome, str) or outcome.ndim == 3


def cyclic_tiff():
    """A TIFF whose only directory names itself as the next one."""
    data = bytearray(tiff(RGB, photometric="rgb"))
    at = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    return bytes(data)


def nested_tiff():
    """A TIFF whose Exif directory is its first directory, which in turn has an Exif directory, and so on."""
    entries = [(256, 3, 1, 5), (257, 3, 1, 3), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 200),
               (277, 3, 1, 1), (278, 3, 1, 3), (279, 4, 1, 15), (330, 4, 1, 8), (34665, 4, 1, 8),
               (34853, 4, 1, 8)]  # fmt: skip
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", 8)
    return data.ljust(200, b"\0") + bytes(range(15))


def sized(data, at, code, *sizes):
    """A file with a different size in its header."""
    changed = bytearray(data)
    struct.pack_into(code, changed, at, *sizes)
    return corpus.with_valid_checksums(bytes(changed)) if data.startswith(b"\x89PNG") else bytes(changed)


def far_frame():
    """A GIF whose second frame would make its decoder enlarge the canvas to 4 gigapixels."""
    data = GOOD["gif animated"]
    at = data.rindex(b"," + struct.pack("<4H", 0, 0, WIDTH, HEIGHT))
    assert at > data.index(b",")
    return data[: at + 1] + struct.pack("<4H", 65000, 65000, WIDTH, HEIGHT) + data[at + 9 :]


JPEG_SIZE_AT = GOOD["jpeg progressive"].index(b"\xff\xc2") + 5


def tiff_with_size(side):
    data = bytearray(tiff(RGB, photometric="rgb"))
    at = struct.unpack_from("<I", data, 4)[0] + 2
    while struct.unpack_from("<H", data, at)[0] < 258:
        if struct.unpack_from("<H", data, at)[0] in {256, 257}:
            struct.pack_into("<HHII", data, at, struct.unpack_from("<H", data, at)[0], 4, 1, side)
        at += 12
    return bytes(data)


BAD = {
    "empty": b"",
    "text": b"Dear diary, today nothing happened.\n",
    "zeros": bytes(5000),
    "png 0x0": sized(GOOD["png full"], 16, ">II", 0, 0),
    "png absurd": sized(GOOD["png full"], 16, ">II", HUGE, HUGE),
    "png large": sized(GOOD["png full"], 16, ">II", 1000, 900),
    "jpeg 0x0": sized(GOOD["jpeg progressive"], JPEG_SIZE_AT, ">HH", 0, 0),
    "jpeg absurd": sized(GOOD["jpeg progressive"], JPEG_SIZE_AT, ">HH", 65535, 65535),
    "bmp 0x0": sized(GOOD["bmp"], 18, "<ii", 0, 0),
    "bmp absurd": sized(GOOD["bmp"], 18, "<ii", HUGE, HUGE),
    "gif with a frame far outside": far_frame(),
    "tiff 0x0": tiff_with_size(0),
    "tiff absurd": tiff_with_size(2**32 - 1),
    "tiff large": tiff_with_size(900),
    "tiff jpeg bomb": GOOD["tiff jpeg"].replace(
        (at := GOOD["tiff jpeg"].index(b"\xff\xc0")) and GOOD["tiff jpeg"][at : at + 9],
        GOOD["tiff jpeg"][at : at + 5] + b"\xff\xf0\xff\xf0",
    ),
    "tiff lzw without a table": tiff(np.zeros((3, 5), np.uint8), photometric="minisblack", compression="lzw").replace(
        imagecodecs.lzw_encode(bytes(15)), bytes.fromhex("805cdea1").ljust(len(imagecodecs.lzw_encode(bytes(15))), b"!")
    ),
    "webp absurd": sized(GOOD["webp full"], 24, "<IH", 0xFFFFFFFF, 0xFFFF),
    "png bomb": png(900, 1000, 8, 2, b"", (b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000)))),
}  # fmt: skip
READABLE_WITH_DAMAGE = {
    "gif without a size whose frames have one": sized(GOOD["gif animated"], 6, "<HH", 0, 0),
    # Damage outside the pixels costs only a warning and the damaged part.
    "tiff cyclic": cyclic_tiff(),
    "tiff nested": nested_tiff(),
    "jpeg with a bad profile": saved(Image.fromarray(RGB), "JPEG", icc_profile=b"\xff" * 500),
    "png with a bad profile": saved(Image.fromarray(RGB), "PNG", icc_profile=b"\xff" * 500),
    "png with bad Exif": png(3, 5, 8, 0, bytes(18), (b"eXIf", b"II*\0\xff\xff\xff\xff")),
    "png with cyclic Exif": png(
        3, 5, 8, 0, bytes(18), (b"eXIf", b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8))
    ),
    "jpeg with bad Exif": saved(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0garbage" * 9),
    "png with invalid text": png(3, 5, 8, 0, bytes(18), (b"zTXt", b"k\0\0garbage"), (b"iTXt", b"\0\1\1")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_in_bounded_time_and_memory(name):
    before_bytes, begun_s = peak_bytes(), time.process_time()
    assert isinstance(read(BAD[name]), str)
    assert time.process_time() - begun_s < LONGEST_S
    assert peak_bytes() - before_bytes < MOST_BYTES


@pytest.mark.parametrize("name", READABLE_WITH_DAMAGE)
def test_damage_outside_the_pixels_keeps_the_image(name, tmp_path):
    rows = read(READABLE_WITH_DAMAGE[name])
    assert isinstance(rows, np.ndarray), rows
    for extension in (".png", ".tif", ".jpg"):
        (tmp_path / "bad").write_bytes(READABLE_WITH_DAMAGE[name])
        upsample_file(tmp_path / "bad", tmp_path / f"out{extension}")
        with Image.open(tmp_path / f"out{extension}") as image:
            assert image.size == (2 * rows.shape[1], 2 * rows.shape[0])


@pytest.mark.parametrize("name", ["bmp", "gif animated", "jpeg full", "png full", "webp full", "tiff full", "avif"])
def test_the_content_decides_the_format_and_not_the_name(name, tmp_path):
    """A wrong extension is not damage: the image is read, and the output has the format of the content."""
    path = tmp_path / ("x.png" if not name.startswith("png") else "x.jpg")
    path.write_bytes(GOOD[name])
    with open_image(path) as source:
        np.testing.assert_array_equal(source.read_rows(0, source.info.height), exercise(GOOD[name]))
    assert read_header(path)[0].format == name.split()[0]


@pytest.mark.usefixtures("in_tmp_path")
def test_the_command_prints_one_line_for_each_bad_file_and_leaves_no_output():
    """One run with all bad files, a pipe, a folder and a dangling link; the one good image is enlarged."""
    for name, data in BAD.items():
        Path(f"{name}.png").write_bytes(data)
    for tenth, data in truncated(GOOD["jpeg full"]):
        Path(f"cut {tenth}.jpg").write_bytes(data)
    os.mkfifo("pipe.png")
    Path("really a folder.png").mkdir()
    Path("nowhere.png").symlink_to("nothing.png")
    save("good.png")
    inputs = [name for name in sorted(os.listdir()) if name != "really a folder.png"]  # noqa: PTH208
    before = tree(".")
    ended = upsample(*inputs, "really a folder.png", "-o", "out", "--max-pixels", "1M")
    assert ended.status == 1
    assert len(ended.errors) == len(inputs) - 1
    assert {line.split(":")[0] for line in ended.errors} == set(inputs) - {"good.png"}
    (written,) = set(tree(".")) - set(before)
    assert written.startswith("out/good")


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("name", ["png large", "tiff absurd", "tiff jpeg bomb", "text"])
def test_a_bad_file_is_one_line_in_a_new_process_too(name):
    """Decoders print nothing themselves; with at most 3 GiB of address space."""
    Path("bad.png").write_bytes(BAD[name])
    ended = upsample_process("bad.png", "-o", "out.png", "--max-pixels", "1M")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: bad.png: ")
    assert ended.err.count("\n") == 1
    assert names(".") == ["bad.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_one_line(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(GOOD["png full"])
    path.chmod(0)
    with pytest.raises(ImageError, match="may not be read; check its permissions"):
        read_header(path)


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(list(GOOD)), other=st.sampled_from(list(GOOD)), seed=st.integers(0, 2**32),
       target=st.sampled_from(list(FORMATS)))  # fmt: skip
def test_a_reader_gives_rows_or_one_line_for_any_damage(name, other, seed, target):
    outcome = read(mutated(GOOD[name], GOOD[other], random.Random(seed)), target)
    assert isinstance(outcome, str) or outcome.ndim == 3


HEADS = [b"", *{data[:size] for data in GOOD.values() for size in (4, 12, 32)}]


@settings(deadline=None, max_examples=150)
@given(head=st.sampled_from(HEADS), rest=st.binary(max_size=400))
def test_a_reader_gives_rows_or_one_line_for_any_bytes(head, rest):
    outcome = read(head + rest)
    assert isinstance(outcome, str) or outcome.ndim == 3


def test_control_an_extra_line_is_detected(monkeypatch):
    def two_lines(_head, _name):
        raise ImageError("a", "b\nc")

    monkeypatch.setattr("upsample_cli.images.open_by_rows.format_of_content", two_lines)
    with pytest.raises(ValueError, match="a: b\nc"):
        read(GOOD["bmp"])


def test_control_an_unexpected_exception_from_a_reader_is_detected(monkeypatch):
    monkeypatch.setattr("upsample_cli.images.open_by_rows.format_of_content", lambda _head, _name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read(GOOD["bmp"])
