"""Strips and tiles of TIFFs that are images of another format, whose header agrees with the TIFF or does not."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.reading import rows_of
from support.tiffs import LONG, SHORT, built, page

from upsample_cli.errors import ImageError

HEIGHT, WIDTH = 16, 64


def pixels_of(height, width, channels=3, dtype=np.uint8):
    """Smooth pixels, which lossy codecs hardly change."""
    y, x = np.mgrid[:height, :width]
    levels = np.stack([(y + x * (channel + 1)) % 192 for channel in range(channels)], axis=2)
    levels = levels.astype(dtype) * (1 if np.dtype(dtype).itemsize == 1 else 257)
    return levels[..., 0] if channels == 1 else levels


def by_pillow(kind, **settings):
    def encode(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **settings)
        return file.getvalue()

    return encode


CODECS = {
    "JPEG": (7, by_pillow("JPEG", quality=100, subsampling=0)),
    "JPEG 2000": (34712, imagecodecs.jpeg2k_encode),
    "WebP": (50001, by_pillow("WEBP", lossless=True)),
    "WebP, lossless": (34927, by_pillow("WEBP", lossless=True)),
    "LERC": (34887, lambda pixels: imagecodecs.lerc_encode(pixels, planar=False)),
    "LERC in Zstandard": (
        34887, lambda pixels: imagecodecs.zstd_encode(imagecodecs.lerc_encode(pixels, planar=False)),
    ),
    "PNG": (34933, imagecodecs.png_encode),
    "JPEG XL": (50002, imagecodecs.jpegxl_encode),
    "JPEG XL of DNG": (52546, imagecodecs.jpegxl_encode),
}  # fmt: skip
OTHERS = {
    "turned": pixels_of(WIDTH, HEIGHT),
    "square": pixels_of(32, 32),
    "larger": pixels_of(2 * HEIGHT, WIDTH),
    "smaller": pixels_of(HEIGHT // 2, WIDTH),
    "grey of as many rows": pixels_of(HEIGHT, 3 * WIDTH, 1),
    "grey of as many columns": pixels_of(3 * HEIGHT, WIDTH, 1),
    "grey of as many bytes": pixels_of(HEIGHT, 3 * WIDTH // 2, 1, np.uint16),
    "grey": pixels_of(HEIGHT, WIDTH, 1),
    "alpha": pixels_of(HEIGHT, WIDTH, 4),
    "alpha of as many bytes": pixels_of(HEIGHT * 3 // 4, WIDTH, 4),
    "16 bits": pixels_of(HEIGHT, WIDTH, 3, np.uint16),
    "16 bits of as many bytes": pixels_of(HEIGHT, WIDTH // 2, 3, np.uint16),
}
_CANNOT = {"JPEG": ("alpha", "16 bits", "grey of as many bytes"), "WebP": ("grey", "16 bits")}
"""Kinds of pixels that a format does not have."""
PAIRS = [
    (name, other)
    for name in CODECS
    for other in OTHERS
    if not other.startswith(_CANNOT.get(name.split(",")[0], ("?",)))
]


def rgb_tiff(compression, data, *, order="<", bits=8, samples=3):
    return built(
        page(HEIGHT, WIDTH, data, bits=bits, samples=samples, photometric=2, t259=(SHORT, compression)), order=order
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", CODECS)
def test_an_embedded_image_of_the_right_shape_gives_its_pixels(name, order):
    compression, encode = CODECS[name]
    right = pixels_of(HEIGHT, WIDTH)
    rows, _ = rows_of(rgb_tiff(compression, encode(right), order=order))
    assert np.abs(rows.astype(int) - right).max() <= 4 * (name == "JPEG")


@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_an_embedded_image_of_another_shape_or_depth_is_refused(name, other):
    compression, encode = CODECS[name]
    with pytest.raises(ImageError, match="is damaged"):
        rows_of(rgb_tiff(compression, encode(OTHERS[other])))


def tiled(compression, tiles, height, width, side):
    """A grey TIFF of square tiles, stored in order."""
    sizes = [len(tile) for tile in tiles]
    ends = np.cumsum(sizes)
    offsets = [8 + int(end) - size for end, size in zip(ends, sizes, strict=True)]
    tags, data = page(height, width, b"".join(tiles), t259=(SHORT, compression))
    tags |= {322: (LONG, side), 323: (LONG, side), 324: (LONG, offsets), 325: (LONG, sizes), 273: (LONG, 8)}
    return built(({tag: value for tag, value in tags.items() if tag not in {273, 278, 279}}, data))


def test_a_tile_at_the_edge_may_be_stored_without_what_is_outside_the_image():
    """Some programs store it so. An image with as many pixels and other sides is refused."""
    right, encode = pixels_of(24, 20, 1), imagecodecs.png_encode
    stored = [right[top : top + 16, left : left + 16].copy() for top in (0, 16) for left in (0, 16)]
    for cut in (False, True):
        tiles = [tile if cut else np.pad(tile, [(0, 16 - side) for side in tile.shape]) for tile in stored]
        rows, _ = rows_of(tiled(34933, list(map(encode, tiles)), 24, 20, 16))
        np.testing.assert_array_equal(rows[..., 0], right)
    for sides in ((4, 8), (2, 16), (16, 2), (16, 4), (32, 1)):
        with pytest.raises(ImageError, match="is damaged"):
            rows_of(tiled(34933, list(map(encode, [*stored[:3], pixels_of(*sides, 1)])), 24, 20, 16))


def grey_tiff(compression, data, bits, *, dtype=np.uint16, samples=1, **tags):
    kind = {"u": 1, "f": 3}[np.dtype(dtype).kind]
    tags |= {"t259": (SHORT, compression), "t339": (SHORT, (kind,) * samples)}
    return built(page(HEIGHT, WIDTH, data, bits=bits, samples=samples, **tags))


DEEP = (pixels_of(HEIGHT, WIDTH, 1, np.uint16) >> 4).astype(np.uint16)  # 12 bits
DEEP_CODECS = {
    "JPEG": (7, lambda pixels: imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12)),
    "lossless JPEG": (7, lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=12)),
    "JPEG 2000": (34712, lambda pixels: imagecodecs.jpeg2k_encode(pixels, bitspersample=12)),
    "JPEG XL": (50002, lambda pixels: imagecodecs.jpegxl_encode(pixels, bitspersample=12)),
}


@pytest.mark.parametrize("name", DEEP_CODECS)
def test_12_bits_are_scaled_if_the_tiff_states_them_too(name):
    compression, encode = DEEP_CODECS[name]
    rows, info = rows_of(grey_tiff(compression, encode(DEEP), 12))
    assert info.layout.depth == 16
    assert np.abs(rows[..., 0] / 65535 - DEEP / 4095).max() < (0.01 if name == "JPEG" else 1e-5)
    with pytest.raises(ImageError, match="is damaged"):
        rows_of(grey_tiff(compression, encode(DEEP), 10))
    if compression == 7:
        with pytest.raises(ImageError, match="is damaged"):
            rows_of(grey_tiff(compression, encode(DEEP), 16))  # libtiff refuses it too
    else:  # 16 bits of which 12 are used, as sensors give them: the numbers are those of the TIFF
        np.testing.assert_array_equal(rows_of(grey_tiff(compression, encode(DEEP), 16))[0][..., 0], DEEP)


def test_bits_that_a_png_decoder_scales_are_refused():
    bits = pixels_of(HEIGHT, WIDTH, 1) > 60
    file = io.BytesIO()
    Image.fromarray(bits).save(file, "PNG")
    for stated in (1, 2, 4):
        with pytest.raises(ImageError, match="is damaged"):
            rows_of(grey_tiff(34933, file.getvalue(), stated))
    np.testing.assert_array_equal(rows_of(grey_tiff(34933, file.getvalue(), 8))[0][..., 0], bits * 255)


def test_pixels_that_a_mask_of_lerc_leaves_out_are_nan():
    """libtiff reads them so too; the decoder returns 0."""
    right = np.linspace(-3, 5, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    right[3, 5:9] = np.nan
    rows, _ = rows_of(grey_tiff(34887, imagecodecs.lerc_encode(right), 32, dtype=np.float32))
    np.testing.assert_array_equal(rows[..., 0], right)
    assert np.isnan(rows).sum() == 4


@pytest.mark.parametrize("samples", [2, 4])
def test_the_mask_of_lerc_is_alpha_if_the_page_has_a_channel_more(samples):
    """libtiff, and so GDAL, stores alpha of 0 and 255 as the mask."""
    right = pixels_of(HEIGHT, WIDTH, samples - 1)
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[2:5, 7:11] = False
    data = imagecodecs.lerc_encode(right, masks=mask, planar=False)
    tags = {"t338": (SHORT, 2), "t262": (SHORT, 1 if samples == 2 else 2)}
    rows, info = rows_of(grey_tiff(34887, data, 8, dtype=np.uint8, samples=samples, **tags))
    assert info.layout.alpha
    np.testing.assert_array_equal(rows[..., -1], mask * 255)
    np.testing.assert_array_equal(rows[mask][..., :-1], right[mask].reshape(-1, samples - 1))


@pytest.mark.parametrize(("compression", "is_doubtful"), [(33003, True), (33004, True), (33005, False), (34712, False)])
def test_jpeg_2000_that_may_be_ycbcr_is_a_loss(compression, is_doubtful):
    """libvips stores YCbCr under 33004 and says RGB; tifffile stores RGB."""
    right = pixels_of(HEIGHT, WIDTH)
    rows, info = rows_of(rgb_tiff(compression, imagecodecs.jpeg2k_encode(right)))
    np.testing.assert_array_equal(rows, right)
    assert [loss.kind for loss in info.losses] == ["colour"] * is_doubtful
