"""BMP with bit masks, unused alpha, and profiles in the header."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from support.corpus import ICC, RGB, saved
from support.facts import lines
from support.reading import rows_of

from upsample_cli.errors import ImageError
from upsample_cli.images.open import open_image, probe, read_header

HEIGHT, WIDTH = 5, 7
RNG = np.random.default_rng(5)


def bmp(bits, masks, pixels, *, size=124, space=b"BGRs", behind=b"", top_down=False, compression=3, v4=b""):
    """A BMP built by hand from whole-byte pixels."""
    height, width = pixels.shape
    signed = -height if top_down else height
    head = struct.pack("<IiiHHIIIIII", size, width, signed, 1, bits, compression, 0, 11811, 5905, 0, 0)
    head += struct.pack(f"<{len(masks)}I", *masks)
    if size >= 108:
        head += space + (v4 or bytes(48))
    if size == 124:
        head += struct.pack("<IIII", 4, 124 + height * (width * bits + 31) // 32 * 4, len(behind), 0)
    stride = (width * bits + 31) // 32 * 4
    rows = [row.astype(f"<u{bits // 8}").tobytes().ljust(stride, b"\0") for row in pixels]
    data = b"".join(rows if top_down else rows[::-1])
    if size == 124:
        head = head[:112] + struct.pack("<II", len(head) + len(data), len(behind)) + head[120:]
    at = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", at + len(data) + len(behind), 0, 0, at) + head + data + behind


def packed(masks, levels):
    """Pixels from channels (height, width, channels), each with its own number of levels."""
    made = np.zeros(levels.shape[:2], np.uint64)
    for channel, mask in enumerate(masks):
        made |= levels[..., channel].astype(np.uint64) * (mask & -mask)
    return made


def levels_of(masks):
    return np.stack([RNG.integers(0, mask // (mask & -mask) + 1, (HEIGHT, WIDTH)) for mask in masks], axis=2)


MASKS = {
    "565 in another order": (16, (0x1F, 0x7E0, 0xF800)), "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "5551": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)), "231": (16, (0x30, 0xE, 0x1)), "bgr": (32, (0xFF, 0xFF00, 0xFF0000)),
    "bgra": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)), "7187": (32, (0x7F0000, 0x8000, 0x7F80)),
    "101010": (32, (0x3FF00000, 0xFFC00, 0x3FF)), "1010102": (32, (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000)),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("top_down", [False, True])
def test_channels_with_any_masks_are_exact(name, top_down):
    bits, masks = MASKS[name]
    levels = levels_of(masks)
    data = bmp(bits, masks if len(masks) == 4 else (*masks, 0), packed(masks, levels), top_down=top_down)
    rows, info = rows_of(data)
    largest = np.array([mask // (mask & -mask) for mask in masks])
    whole = 65535 if largest.max() > 255 else 255
    assert info.layout.depth == (16 if whole > 255 else 8)
    assert np.array_equal(rows, np.floor(levels * whole / largest + 0.5))
    assert info.losses == ()


@pytest.mark.parametrize("name", [name for name, (_, masks) in MASKS.items() if len(masks) == 4])
def test_alpha_that_is_0_everywhere_is_ignored(name):
    bits, masks = MASKS[name]
    levels = levels_of(masks)
    levels[..., 3] = 0
    rows, info = rows_of(bmp(bits, masks, packed(masks, levels)))
    assert (rows.shape[2], [loss.kind for loss in info.losses]) == (3, ["alpha"])
    levels[-1, -1, 3] = 1  # the control: one pixel is enough
    rows, info = rows_of(bmp(bits, masks, packed(masks, levels)))
    assert (rows.shape[2], info.losses) == (4, ())


@pytest.mark.parametrize("size", [40, 52])
def test_short_headers_have_masks_too(size):
    masks = (0xFF, 0xFF00, 0xFF0000)
    levels = levels_of(masks)
    rows, _ = rows_of(bmp(32, masks, packed(masks, levels), size=size))
    assert np.array_equal(rows, levels)


def test_files_that_pillow_can_read_are_left_to_pillow():
    masks = (0xF800, 0x7E0, 0x1F)
    data = bmp(16, (*masks, 0), packed(masks, levels_of(masks)))
    assert np.array_equal(rows_of(data)[0], np.array(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(("masks", "kind"), [((0xFF, 0xFF, 0xFF00, 0), "unsupported"), ((5, 2, 8, 0), "unsupported")])
def test_invalid_masks_are_refused(masks, kind):
    with pytest.raises(ImageError, match="bit masks") as caught:
        probe(io.BytesIO(bmp(32, masks, np.zeros((2, 2)))))
    assert caught.value.failure.kind == kind


def test_a_truncated_or_oversized_file_is_one_line():
    data = bmp(32, (0xFF, 0xFF00, 0xFF0000, 0), np.zeros((4, 4)))
    for bad, message in (
        (data[:-1], "truncated"),
        (data[:22] + b"\xff\xff\xff\x7f" + data[26:], "more than the limit"),
    ):
        with pytest.raises(ImageError, match=message):
            open_image(io.BytesIO(bad))


def test_the_profile_of_a_bmp_is_read_and_other_colour_data_is_a_loss():
    masks, pixels = (0xFF0000, 0xFF00, 0xFF, 0), np.zeros((4, 4))
    for order in (masks, (0xFF, 0xFF00, 0xFF0000, 0)):
        info, metadata = read_header(io.BytesIO(bmp(32, order, pixels, space=b"DEBM", behind=ICC)))
        assert (metadata.icc_profile, info.losses) == (ICC, ())
        assert metadata.dpi == pytest.approx((300, 150), rel=1e-3)
        counted_losses = [
            lines(probe(io.BytesIO(bmp(32, order, pixels, **settings))).losses)
            for settings in (
                {"space": b"DEBM", "behind": ICC[:99]}, {"space": b"KNIL"}, {"space": bytes(4), "v4": b"\1" * 48},
                {"space": bytes(4)},
            )
        ]  # fmt: skip
        assert [len(line) for line in counted_losses] == [1, 1, 1, 0]
    assert probe(io.BytesIO(saved(Image.fromarray(RGB), "BMP"))).losses == ()
