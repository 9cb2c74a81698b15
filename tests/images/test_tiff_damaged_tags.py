"""TIFFs with entries that cannot be read: no pixels are made from a number that is not in the file."""

import io
import struct

import numpy as np
import pytest
import tifffile
from support.corpus import ICC
from support.reading import rows_of

from upsample_cli.errors import ImageError

_RNG = np.random.default_rng(8)
GREY = _RNG.integers(0, 256, (23, 37), np.uint8)
RGBA = _RNG.integers(0, 256, (23, 37, 4), np.uint8)
COLOURS = _RNG.integers(0, 65536, (3, 256), np.uint16)


def tiff(pixels, **settings):
    """A classic TIFF of little-endian numbers."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, byteorder="<", metadata=None, **settings)
    return file.getvalue()


FILES = {
    "signed": tiff(GREY.astype(np.int16) * 50 - 5000, photometric="minisblack"),
    "predictor": tiff(RGBA[..., :3].copy(), photometric="rgb", compression="zlib", predictor=True),
    "alpha": tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]),
    "palette": tiff(GREY, photometric="palette", colormap=COLOURS),
    "white": tiff(GREY, photometric="miniswhite"),
    "planar": tiff(np.moveaxis(RGBA[..., :3], 2, 0).copy(), photometric="rgb", planarconfig="separate"),
    "tiles": tiff(RGBA[..., :3].copy(), photometric="rgb", tile=(16, 16)),
}
DAMAGE = {
    "no type": (2, b"\0\0"),
    "unknown type": (2, b"\x63\0"),
    "floating point": (2, b"\x0b\0"),
    "no values": (4, bytes(4)),
    "too many values": (4, b"\0\0\0\x7f"),
    "values outside the file": (8, b"\0\0\0\x7f"),
}


def entries(data):
    """Tag and offset of each entry of the first directory, and the offset of its end."""
    at = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    offsets = range(at + 2, at + 2 + 12 * count, 12)
    return {struct.unpack_from("<H", data, offset)[0]: offset for offset in offsets}, offsets.stop


def is_inline(data, at):
    kind, count = struct.unpack_from("<HI", data, at + 2)
    return {2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8}[kind] * count <= 4


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_an_entry_that_cannot_be_read_never_changes_pixels(name, damage):
    data = FILES[name]
    (right, _), (offset, replacement) = rows_of(data), DAMAGE[damage]
    refused = {}
    for tag, at in entries(data)[0].items():
        if offset == 8 and is_inline(data, at):
            continue  # another number, which can be right
        damaged = bytearray(data)
        damaged[at + offset : at + offset + len(replacement)] = replacement
        try:
            rows, info = rows_of(bytes(damaged))
        except ImageError as error:
            refused[tag] = error.failure.kind
            continue
        if (tag, damage) == (338, "no values"):  # some programs write it; then the fourth channel is not alpha
            assert [loss.text for loss in info.losses] == ["1 more channel is left out"]
            rows = np.dstack((rows, right[..., 3:]))
        np.testing.assert_array_equal(rows, right, err_msg=str(tag))
    if offset != 8:
        assert {256, 257, 258, 259, 262, 277} <= set(refused)
    assert set(refused.values()) <= {"damaged"}
    assert not set(refused) & {282, 283, 296, 305}  # the resolution and the name of the program do not matter


@pytest.mark.parametrize("name", FILES)
def test_a_directory_that_is_truncated_is_refused(name):
    """The directory is copied to the end of the file, as many programs write it."""
    data = FILES[name]
    first, (found, end) = struct.unpack_from("<I", data, 4)[0], entries(data)
    moved = bytearray(data) + bytes(len(data) % 2) + data[first:end]
    struct.pack_into("<I", moved, 4, len(moved) - (end - first))
    np.testing.assert_array_equal(rows_of(bytes(moved) + bytes(4))[0], rows_of(data)[0])
    np.testing.assert_array_equal(rows_of(bytes(moved))[0], rows_of(data)[0])  # only the link to a next page is missing
    for missing in range(1, 12 * len(found), 5):
        with pytest.raises(ImageError, match="is truncated"):
            rows_of(bytes(moved[:-missing]))


TAGS = {
    "ModelPixelScaleTag": (33550, tiff(GREY, extratags=[(33550, 12, 3, (1.0, 1.0, 0.0), True)])),
    "Orientation": (274, tiff(GREY, extratags=[(274, 3, 1, 6, True)])),
    "InterColorProfile": (34675, tiff(GREY, iccprofile=ICC)),
    "XResolution": (282, tiff(GREY, resolution=(300, 300), resolutionunit="INCH")),
    "ResolutionUnit": (296, tiff(GREY, resolution=(300, 300), resolutionunit="INCH")),
}


@pytest.mark.parametrize("name", TAGS)
def test_metadata_that_cannot_be_read_are_a_loss(name):
    tag, data = TAGS[name]
    at = entries(data)[0][tag]
    assert rows_of(data)[1].losses == ()
    for damage in ("no type", "unknown type", "too many values", "values outside the file"):
        offset, replacement = DAMAGE[damage]
        if offset == 8 and is_inline(data, at):
            continue
        damaged = bytearray(data)
        damaged[at + offset : at + offset + len(replacement)] = replacement
        rows, info = rows_of(bytes(damaged))
        np.testing.assert_array_equal(rows[..., 0], GREY)
        (loss,) = info.losses
        assert (loss.kind, loss.text, loss.details) == ("metadata", "1 tag is damaged and left out", name)


@pytest.mark.parametrize(("tag", "is_read"), [(259, True), (284, False)])
def test_a_compression_for_each_sample_is_read(tag, is_read):
    """TIFF 4 had one for each sample. libtiff reads it too."""
    data = bytearray(FILES["planar"])
    at = entries(data)[0][tag]
    number = struct.unpack_from("<H", data, at + 8)
    struct.pack_into("<II", data, at + 4, 3, len(data))
    data += struct.pack("<3H", *number * 3)
    if is_read:
        np.testing.assert_array_equal(rows_of(bytes(data))[0], RGBA[..., :3])
    else:
        with pytest.raises(ImageError, match="is damaged"):
            rows_of(bytes(data))
