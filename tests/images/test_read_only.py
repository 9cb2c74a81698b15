"""Formats that are read and not written: pixels, depth, alpha, colour, orientation and losses."""

import io
import re
import struct
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support.corpus import HEIGHT, ICC, RGB, RGB16, WIDTH, saved
from support.read_only import (
    ALPHA,
    NO_HEIF,
    RGBA,
    RGBA16,
    channel_box,
    cursor,
    dds,
    dds10,
    hdr,
    heic,
    icon,
    jp2,
    jp2_box,
    jp2_of,
    light,
    pillow_heif,
    planes_of,
    psd,
    resource,
)

from upsample_cli.errors import ImageError
from upsample_cli.images.model import ColourSpace, Layout
from upsample_cli.images.open import open_image, read_header

NEEDS_HEIF = pytest.mark.skipif(pillow_heif is None, reason=NO_HEIF)


class Targa(io.BytesIO):
    name = "a.tga"


def read(data, file=io.BytesIO):
    """The rows, read in two bands, and the source."""
    with open_image(file(data)) as source:
        half = source.info.height // 2
        bands = source.read_rows(0, half + 1), source.read_rows(half, source.info.height)
        return np.concatenate((bands[0][:half], bands[1])), source


def losses(source):
    return " | ".join(loss.text for loss in (*source.info.losses, *source.losses))


def refusal(data, file=io.BytesIO, **settings):
    with pytest.raises(ImageError) as caught:
        read_header(file(data), **settings)
    return str(caught.value)


# HEIC


def test_without_the_extra_a_heic_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with pytest.raises(ImageError) as caught:
        read_header(io.BytesIO(data))
    assert caught.value.failure.kind == "no-package"
    assert caught.value.failure.may_pass  # a batch that continues tries it again
    assert str(caught.value) == (
        "-: is HEIC, which needs pillow-heif; pip install 'upsample-cli[heif]', or convert it first"
    )


SMOOTH = np.rint(
    np.add.outer(np.sin(np.arange(HEIGHT) / 5), np.cos(np.arange(WIDTH) / 7))[..., np.newaxis] * (30, 20, 25) + 128
).astype(np.uint8)


@NEEDS_HEIF
@pytest.mark.parametrize(
    ("mode", "layout"), [("L", Layout("grey")), ("RGB", Layout("rgb")), ("RGBA", Layout("rgb", alpha=True))]
)
def test_a_heic_of_8_bits_is_read_with_its_alpha(mode, layout):
    pixels = {"L": SMOOTH[..., :1], "RGB": SMOOTH, "RGBA": np.dstack((SMOOTH, SMOOTH[..., 0]))}[mode].copy()
    rows, source = read(heic(pixels, mode))
    assert source.info.layout == layout
    assert np.abs(rows.astype(int) - pixels).max() <= 2  # YCbCr rounds
    assert (source.info.lossless, losses(source)) == (False, "")


@NEEDS_HEIF
@pytest.mark.parametrize(("mode", "layout"), [("RGB;16", Layout("rgb", depth=16)), ("L;16", Layout("grey", depth=16))])
def test_a_heic_of_10_bits_becomes_16_bits_in_the_whole_range(mode, layout):
    deep = (SMOOTH[..., : layout.channels].astype(np.uint16) << 8) | 255
    deep[:8, :8], deep[-8:, -8:] = 0, 65535
    rows, source = read(heic(deep, mode))
    assert source.info.layout == layout
    assert (rows[2, 2] == 0).all()
    assert (rows[-2, -2] == 65535).all()
    assert np.abs(rows.astype(int) - deep)[8:-8, 8:-8].max() <= 65535 / 1023 * 2


@NEEDS_HEIF
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once(orientation):
    """The encoder writes irot and imir, and keeps the orientation in Exif, as cameras do."""
    block = Image.Exif()
    block[0x0112], block[0x010F] = orientation, "Maker"
    file = io.BytesIO()
    stored = Image.fromarray(SMOOTH)
    pillow_heif.from_pillow(stored).save(file, quality=-1, chroma=444, exif=block.tobytes())
    rows, source = read(file.getvalue())
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    upright = np.asarray(stored if turn is None else stored.transpose(Image.Transpose(turn)))
    assert rows.shape == upright.shape
    assert np.abs(rows.astype(int) - upright).max() <= 2
    assert source.info.orientation == 1
    assert b"Maker" in source.metadata.exif


@NEEDS_HEIF
def test_a_heic_carries_its_profile_and_xmp_and_its_other_images_are_a_loss():
    file = io.BytesIO()
    images = pillow_heif.from_pillow(Image.fromarray(SMOOTH))
    images[0].info |= {"icc_profile": ICC, "xmp": b"<x/>"}
    images.add_from_pillow(Image.fromarray(255 - SMOOTH))
    images.save(file, quality=-1, chroma=444, primary_index=0)
    rows, source = read(file.getvalue())
    assert np.abs(rows.astype(int) - SMOOTH).max() <= 2
    assert source.metadata.icc_profile == ICC
    assert source.metadata.xmp == b"<x/>"
    assert source.info.frames.count == 2


@NEEDS_HEIF
def test_a_size_beyond_the_limit_is_refused_before_a_heic_is_decoded():
    data = bytearray(heic(SMOOTH))
    for found in re.finditer(b"ispe", bytes(data)):
        struct.pack_into(">II", data, found.end() + 4, 30_000, 30_000)
    assert "more than the limit of 1000" in refusal(bytes(data), max_pixels=1000)


# JPEG 2000


@pytest.mark.parametrize("kind", ["JP2", "J2K"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_is_read_exactly_at_every_depth(kind, channels, bits):
    stored = RGBA16[..., :channels] >> (16 - bits) if bits > 8 else RGBA[..., :channels]
    rows, source = read(jp2(np.ascontiguousarray(stored), kind=kind, bitspersample=bits))
    assert source.info.layout == Layout("grey" if channels < 3 else "rgb", channels % 2 == 0, 8 if bits == 8 else 16)
    most = 255 if bits == 8 else 65535
    np.testing.assert_array_equal(rows, (stored.astype(np.int64) * most * 2 + 2**bits - 1) // (2 * (2**bits - 1)))
    assert losses(source) == ""


@pytest.mark.parametrize("bits", [8, 16])
def test_sycc_becomes_rgb_by_its_definition(bits):
    stored, most = (RGB, 255) if bits == 8 else (RGB16, 65535)
    rows, _ = read(jp2(stored, colorspace="SYCC", mct=False))
    light, blue, red = np.moveaxis(stored.astype(float), 2, 0)
    blue, red = blue - (most + 1) / 2, red - (most + 1) / 2
    right = np.stack((light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue), 2)
    assert np.abs(rows - right.clip(0, most)).max() <= 0.51
    assert np.abs(rows.astype(int) - stored).max() > 50  # a control: it is another colour space


def test_the_channels_of_a_jp2_are_what_it_says():
    codestream = jp2(np.ascontiguousarray(RGBA[..., [3, 2, 1, 0]]), kind="J2K")  # alpha first, then blue to red
    rows, source = read(jp2_of(codestream, channel_box((0, 1, 0), (1, 0, 3), (2, 0, 2), (3, 0, 1))))
    np.testing.assert_array_equal(rows, RGBA)
    assert source.info.layout == Layout("rgb", alpha=True)
    multiplied = np.dstack((np.minimum(RGB, ALPHA[..., None]), ALPHA))
    premultiplied = jp2_of(jp2(multiplied, kind="J2K"), channel_box((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 2, 0)))
    rows, _ = read(premultiplied)
    back = (rows[..., :3] * (ALPHA[..., None] / 255)).round().astype(int)
    assert np.abs(back - multiplied[..., :3]).max() <= 1
    assert np.abs(rows.astype(int) - multiplied).max() > 50


def test_a_jp2_carries_profile_exif_xmp_resolution_and_names_what_it_loses():
    block = Image.Exif()
    block[0x0112] = 6
    exif = b"JpgTiffExif->JP2" + block.tobytes().removeprefix(b"Exif\0\0")
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>"
    profile = jp2_box(b"colr", b"\2\0\0" + ICC)
    dots = jp2_box(b"res ", jp2_box(b"resd", struct.pack(">4H2b", 11811, 100, 23622, 100, 2, 2)))
    behind = jp2_box(b"uuid", exif) + jp2_box(b"uuid", xmp) + jp2_box(b"xml ", b"<a/>")
    codestream = jp2(RGB, kind="J2K")
    rows, source = read(jp2_of(codestream, profile, dots, space=None, behind=behind))
    np.testing.assert_array_equal(rows, np.rot90(RGB, -1))
    metadata = source.metadata
    assert (metadata.icc_profile, metadata.xmp) == (ICC, b"<x/>")
    assert metadata.dpi == pytest.approx((600, 300), abs=0.02)
    assert losses(source) == "boxes that we do not keep are left out (xml)"


def test_a_jpeg_2000_without_one_of_its_tiles_is_refused():
    data = saved(Image.fromarray(RGB), "JPEG2000", tile_size=(16, 16), no_jp2=True)
    np.testing.assert_array_equal(read(data)[0], RGB)
    starts = [found.start() for found in re.finditer(rb"\xff\x90\0\x0a\0[\0-\5]", data)]
    ends = [*starts[1:], len(data) - 2]
    assert len(starts) == 6
    for start, end in zip(starts, ends, strict=True):
        without = data[:start] + data[end:]
        assert imagecodecs.jpeg2k_decode(without).shape == RGB.shape  # a control: the decoder fills it
        with pytest.raises(ImageError, match="is truncated"):
            read(without)
    turned = data[: starts[0]] + b"".join(data[at:end] for at, end in zip(starts[::-1], ends[::-1], strict=True))
    np.testing.assert_array_equal(read(turned + b"\xff\xd9")[0], RGB)  # in any order


def test_what_a_jpeg_2000_may_be_and_is_not_read_is_refused_by_name():
    codestream = bytearray(jp2(RGB, kind="J2K"))
    assert "CMYK colours" in refusal(jp2_of(bytes(codestream), space=12))
    assert "a palette" in refusal(jp2_of(bytes(codestream), jp2_box(b"pclr", b"\0\1\1\7\0")))
    subsampled, signed, tiny_tiles, huge = (bytearray(codestream) for _ in range(4))
    subsampled[42 + 3 + 1] = 2
    assert "subsampled" in refusal(bytes(subsampled))
    signed[42] |= 0x80
    assert "signed" in refusal(bytes(signed))
    struct.pack_into(">II", tiny_tiles, 24, 1, 1)
    assert "damaged" in refusal(bytes(tiny_tiles))
    struct.pack_into(">II", huge, 8, 2**31, 2**31)
    assert "more than the limit" in refusal(bytes(huge))


# PSD


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("pixels", [RGB, RGB16], ids=["8", "16"])
def test_the_flattened_image_of_a_psd_is_read_exactly(pixels, packed, is_big):
    rows, source = read(psd(planes_of(pixels), 3, packed=packed, is_big=is_big, layers=3))
    np.testing.assert_array_equal(rows, pixels)
    assert losses(source) == "its 3 layers are left out; the flattened image is read"


def test_a_psd_of_32_bits_is_linear_light():
    light = (RGB / 100).astype(np.float32)
    rows, source = read(psd(planes_of(light), 3))
    np.testing.assert_array_equal(rows, light)
    assert source.info.layout.depth == 32
    assert source.metadata.colour == ColourSpace(gamma=100000)


def test_inks_of_a_psd_are_stored_as_the_light_that_they_leave():
    rows, source = read(psd(planes_of(255 - RGBA), 4))
    np.testing.assert_array_equal(rows, RGBA)
    assert source.info.layout == Layout("cmyk")


@pytest.mark.parametrize("layers", [{"layers": -1}, {"deep_layers": -1}])
def test_transparency_of_a_psd_is_taken_off_white(layers):
    """Photoshop stores the flattened image laid over white."""
    alpha = np.maximum(ALPHA, 64)
    opacity = alpha[..., None] / 255
    over_white = np.rint(RGB * opacity + 255 * (1 - opacity)).astype(np.uint8)
    rows, source = read(psd(planes_of(np.dstack((over_white, alpha))), 3, **layers))
    np.testing.assert_array_equal(rows[..., 3], alpha)
    assert np.abs(rows[..., :3].astype(int) - RGB).max() <= 2
    assert source.info.layout.alpha


def test_colour_of_a_psd_that_is_not_laid_over_white_stays():
    rows, _ = read(psd(planes_of(RGBA), 3, layers=-1))
    np.testing.assert_array_equal(rows, RGBA)


def test_a_channel_of_a_psd_that_is_not_transparency_is_a_loss():
    rows, source = read(psd(planes_of(RGBA), 3))
    np.testing.assert_array_equal(rows, RGB)
    assert losses(source) == "1 more channel is left out"


def test_a_psd_carries_its_profile_captions_and_resolution():
    held = resource(0x040F, ICC) + resource(0x0404, b"\x1c\2\5\0\3Sea") + resource(0x0424, b"<x/>")
    held += resource(0x03ED, struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 1, 1))
    _, source = read(psd(planes_of(RGB), 3, resources=held))
    metadata = source.metadata
    assert (metadata.icc_profile, metadata.xmp, metadata.dpi) == (ICC, b"<x/>", (300, 150))
    assert metadata.iptc == b"\x1c\2\5\0\3Sea"
    assert losses(source) == ""


def test_a_damaged_psd_is_refused_and_a_duotone_is_grey():
    whole = psd(planes_of(RGB), 3)
    read(whole)  # the control
    for at, form, value, fault in (
        (4, ">H", 3, "make no sense"),  # the version
        (12, ">H", 0, "make no sense"),  # the number of channels
        (12, ">H", 57, "make no sense"),
        (12, ">H", 2, "make no sense"),
        (len(whole) - RGB.size - 2, ">H", 9, "make no sense"),  # the compression
        (14, ">I", 29_999, "truncated"),  # the height
    ):
        assert fault in refusal(sized(whole, at, form, value))
    for end in (10, 28, 36, len(whole) - 1):
        assert "truncated" in refusal(whole[:end])
    rows, source = read(psd(planes_of(RGB[..., :1]), 8))
    assert (rows == RGB[..., :1]).all()
    assert [str(loss) for loss in source.info.losses] == ["the inks of its duotone are left out; it is read as grey"]


def test_a_psd_without_a_flattened_image_says_how_to_get_one():
    version = resource(0x0421, struct.pack(">IBI", 1, 0, 0))
    assert "without a flattened image; save it in Photoshop" in refusal(psd(planes_of(RGB), 3, resources=version))
    assert "Lab colours" in refusal(psd(planes_of(RGB), 9))


# TGA


@pytest.mark.parametrize("orientation", [1, -1])
@pytest.mark.parametrize("compression", [None, "tga_rle"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_tga_is_read_exactly(mode, compression, orientation):
    image = Image.fromarray(RGBA).convert(mode)
    rows, source = read(saved(image, "TGA", compression=compression, orientation=orientation), Targa)
    np.testing.assert_array_equal(rows.squeeze(), np.asarray(image))
    assert losses(source) == ""


def test_a_tga_stored_from_right_to_left_is_turned():
    data = bytearray(saved(Image.fromarray(RGB), "TGA"))
    data[17] |= 0x10
    rows, _ = read(bytes(data), Targa)
    np.testing.assert_array_equal(rows, RGB[:, ::-1])


def test_alpha_of_a_tga_that_is_not_used_is_opaque_with_a_warning():
    clear = RGBA.copy()
    clear[..., 3] = 0
    rows, source = read(saved(Image.fromarray(clear), "TGA"), Targa)
    np.testing.assert_array_equal(rows[..., :3], RGB)
    assert (rows[..., 3] == 255).all()
    assert "alpha is 0 everywhere" in losses(source)


@pytest.mark.parametrize(("kind", "alpha"), [(0, False), (2, False), (3, True)])
def test_the_extension_of_a_tga_says_whether_its_alpha_is_used(kind, alpha):
    data = saved(Image.fromarray(RGBA), "TGA").removesuffix(bytes(8) + b"TRUEVISION-XFILE.\0")
    area = bytes(494) + bytes([kind])
    footer = struct.pack("<II", len(data), 0) + b"TRUEVISION-XFILE.\0"
    rows, source = read(data + area + footer, Targa)
    assert source.info.layout.alpha == alpha
    np.testing.assert_array_equal(rows, RGBA if alpha else RGB)
    assert "extension area" in losses(source)


def test_a_tga_needs_its_name():
    data = saved(Image.fromarray(RGB), "TGA")
    assert "is not an image in a format we know" in refusal(data)
    assert read(data, Targa)[1].info.format == "tga"


def test_text_named_like_a_tga_is_not_an_image():
    assert "is not an image in a format we know" in refusal(b"Dear diary, today was a good day\n" * 9, Targa)


# ICO and CUR


@pytest.mark.parametrize("kind", ["png", "bmp"])
def test_the_largest_image_of_an_icon_is_read_with_its_alpha(kind):
    rows, source = read(icon(kind))
    np.testing.assert_array_equal(rows, RGBA)
    assert losses(source) == "of its 2 images, the largest is read"


def test_metadata_of_the_png_in_an_icon_are_kept_or_a_loss():
    exif = Image.Exif()
    exif[271] = "Maker"
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Sea")
    png = saved(Image.fromarray(RGBA), "PNG", exif=exif, pnginfo=text, dpi=(300, 300))
    entry = struct.pack("<BBBBHHII", WIDTH, HEIGHT, 0, 0, 1, 32, len(png), 22)
    rows, source = read(struct.pack("<HHH", 0, 1, 1) + entry + png)
    assert np.array_equal(rows, RGBA)
    assert source.metadata.dpi == pytest.approx((300, 300), abs=0.01)
    assert losses(source) == "metadata of the PNG in it are left out (EXIF, text)"
    assert "left out" not in losses(read(icon("png"))[1])


def test_a_cursor_loses_its_hot_spot():
    rows, source = read(cursor(icon("bmp")))
    np.testing.assert_array_equal(rows, RGBA)
    assert "hot spot" in losses(source)


def test_the_mask_of_an_icon_is_its_alpha():
    image = Image.fromarray(RGB).resize((32, 8))
    data = bytearray(saved(image, "ICO", sizes=[(32, 8)], bitmap_format="bmp"))
    data[-4:] = b"\xff\xf0\0\0"  # the mask of the top row: 12 clear pixels
    rows, _ = read(bytes(data))
    np.testing.assert_array_equal(rows[..., :3], np.asarray(image))
    assert rows[0, :, 3].tolist() == [0] * 12 + [255] * 20
    assert (rows[1:, :, 3] == 255).all()


# QOI, DDS, HDR


@pytest.mark.parametrize("pixels", [RGB, RGBA], ids=["rgb", "rgba"])
def test_qoi_is_read_exactly(pixels):
    data = bytearray(imagecodecs.qoi_encode(pixels))
    data[13] = 0
    rows, source = read(bytes(data))
    np.testing.assert_array_equal(rows, pixels)
    assert source.metadata.colour is None
    data[13] = 1  # linear
    assert read(bytes(data))[1].metadata.colour == ColourSpace(gamma=100000)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_qoi_without_its_last_pixels_is_refused(channels):
    pixels = np.ascontiguousarray(RGBA[..., :channels])
    pixels[-2:] //= 30  # also pixels that are stored as differences, and in runs
    data = bytearray(imagecodecs.qoi_encode(pixels))
    np.testing.assert_array_equal(read(bytes(data))[0], pixels)
    for width, height in ((WIDTH, HEIGHT + 1), (WIDTH + 1, HEIGHT)):
        struct.pack_into(">II", data, 4, width, height)
        assert imagecodecs.qoi_decode(bytes(data)).shape == (height, width, channels)  # a control: the decoder fills it
        with pytest.raises(ImageError, match="is truncated"):
            read(bytes(data))
    struct.pack_into(">II", data, 4, WIDTH, HEIGHT)
    for missing in range(1, 3 * WIDTH):  # mostly in the middle of a pixel
        cut = bytes(data[: -8 - missing] + data[-8:])
        assert imagecodecs.qoi_decode(cut).shape == pixels.shape  # a control
        with pytest.raises(ImageError, match="is truncated"):
            read(cut)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_dds_of_plain_pixels_is_read_exactly(mode):
    image = Image.fromarray(RGBA).convert(mode)
    rows, source = read(saved(image, "DDS"))
    np.testing.assert_array_equal(rows.squeeze(), np.asarray(image))
    assert losses(source) == ""


def test_a_dds_of_16_bits_is_scaled_to_the_whole_range():
    numbers = np.arange(HEIGHT * WIDTH, dtype="<u2").reshape(HEIGHT, WIDTH) * 77
    rows, _ = read(dds(numbers.tobytes(), 16, 0xF800, 0x7E0, 0x1F))
    red, green, blue = numbers >> 11, numbers >> 5 & 63, numbers & 31
    right = np.stack([np.floor(part * 255.0 / most + 0.5) for part, most in ((red, 31), (green, 63), (blue, 31))], 2)
    np.testing.assert_array_equal(rows, right)


@pytest.mark.parametrize("kind", ["DXT1", "DXT3", "DXT5"])
def test_a_dds_of_blocks_is_read_like_by_pillow(kind):
    data = saved(Image.fromarray(np.dstack((SMOOTH, ALPHA))), "DDS", pixel_format=kind)
    rows, source = read(data)
    by_pillow = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert np.abs(rows.astype(int) - by_pillow).max() <= 1
    assert source.info.lossless is False


def test_a_cube_a_volume_and_light_in_a_dds():
    plain = dds(RGBA.tobytes(), 32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000, flags=0x41)
    np.testing.assert_array_equal(read(plain)[0], RGBA)
    cube = bytearray(plain)
    struct.pack_into("<I", cube, 112, 0xFE00)
    assert losses(read(bytes(cube))[1]) == "of the faces of its cube, the first is read"
    struct.pack_into("<I", cube, 112, 0x200000)
    assert "a volume" in refusal(bytes(cube))
    assert "pixels of the kind 95" in refusal(dds10(RGBA.tobytes(), 95))  # BC6H
    assert losses(read(dds10(RGBA.tobytes(), 28, images=4))[1]) == "of its images, the first is read"


def test_light_of_an_hdr_is_kept_as_stored():
    rows, source = read(hdr(light()))
    np.testing.assert_array_equal(rows, light())
    assert rows.max() > 1
    assert source.metadata.colour == ColourSpace(gamma=100000)
    primaries = b"PRIMARIES=0.64 0.33 0.29 0.6 0.15 0.06 0.333 0.333\nEXPOSURE=2\n"
    rows, source = read(hdr(light(), b"#?RADIANCE\n# a remark\n" + primaries))
    np.testing.assert_array_equal(rows, light())
    assert source.metadata.colour.chromaticities[:4] == (33300, 33300, 64000, 33000)
    remarks = "lines of its header are left out (remarks)"
    assert losses(source) == f"the exposure that its header states is not applied | {remarks}"


def test_every_line_in_the_header_of_an_hdr_is_read_or_reported():
    lines = b"#?RADIANCE\nEXPOSURE=1.0\nPIXASPECT= 1\nCOLORCORR=1 1 1\nGAMMA=1\n"
    assert losses(read(hdr(light(), lines))[1]) == ""
    found = losses(read(hdr(light(), lines + b"GAMMA=2.2\nVIEW= -vtv\nSOFTWARE=ours\nrpict -x 5\n# a remark\n"))[1])
    assert found.split(" | ") == [
        "the gamma that its header states is not applied",
        "lines of its header are left out (VIEW, SOFTWARE, remarks)",
    ]
    many = b"".join(b"KEY%d=1\n" % number for number in range(9))
    assert losses(read(hdr(light(), lines + many))[1]).endswith("KEY4, KEY5, 3 others)")


def test_an_hdr_in_xyz_or_turned_is_refused():
    assert "32-bit_rle_xyze" in refusal(hdr(light(), b"#?RADIANCE\nFORMAT=32-bit_rle_xyze\n"))
    assert "turned or mirrored" in refusal(hdr(light()).replace(b"-Y", b"+Y"))


# What is refused by name


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"v/1\x01" + bytes(40), ("OpenEXR", "oiiotool", "TIFF")),
        (b"FUJIFILMCCD-RAW 0201", ("RAW (RAF)", "darktable", "RawTherapee", "dcraw", "rawpy")),
        (b"IIRO\x08\0\0\0" + bytes(40), ("RAW (ORF)", "darktable")),
        (b"IIU\0\x18\0\0\0" + bytes(40), ("RAW (RW2)", "darktable")),
    ],
)
def test_formats_without_a_reader_say_what_to_use(data, words):
    line = refusal(data)
    assert all(word in line for word in words)
    assert "\n" not in line


# Sizes that a header cannot have


def sized(data, at, code, *sizes):
    changed = bytearray(data)
    struct.pack_into(code, changed, at, *sizes)
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "file"),
    [
        (sized(bytes(imagecodecs.qoi_encode(RGB)), 4, ">II", 20_000, 20_000), io.BytesIO),
        (sized(psd(planes_of(RGB), 3, packed=True), 14, ">II", 20_000, 20_000), io.BytesIO),
        (sized(saved(Image.fromarray(RGB), "TGA", compression="tga_rle"), 12, "<HH", 20_000, 20_000), Targa),
        (sized(saved(Image.fromarray(RGB), "DDS", pixel_format="DXT1"), 12, "<II", 20_000, 20_000), io.BytesIO),
        (hdr(light()).replace(b"-Y %d +X %d" % (HEIGHT, WIDTH), b"-Y 20000 +X 20000"), io.BytesIO),
    ],
    ids=["qoi", "psd", "tga", "dds", "hdr"],
)
def test_a_size_that_the_file_cannot_hold_is_refused_from_the_header(data, file):
    assert "is truncated" in refusal(data, file)
    assert "more than the limit of 1000" in refusal(data, file, max_pixels=1000)
