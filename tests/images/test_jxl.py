"""JPEG XL: pixels bit for bit, colours as stated, metadata in boxes, and bad files."""

from __future__ import annotations

import io
import itertools
import random
import time
from fractions import Fraction

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageSequence
from support.jxl_data import ANIMATION, HEIGHT, PIXELS, PROFILE, PROFILE_IN_XYB, TURNED, WIDTH
from support.jxl_files import boxed, with_extra, with_size

from upsample_cli import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.jxl import profile as profiles
from upsample_cli.images.codecs.jxl.bits import BitReader, BitWriter
from upsample_cli.images.codecs.jxl.codestream import Encoding, read_header
from upsample_cli.images.codecs.jxl.colour import colour_of, encoding_of
from upsample_cli.images.codecs.jxl.container import read_container
from upsample_cli.images.codecs.jxl.put_profile import put_profile, varint
from upsample_cli.images.codecs.jxl.stated import Stated, with_header
from upsample_cli.images.color.coded import profile_of
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.model import ColourSpace, Frames, ImageInfo, Layout, Metadata
from upsample_cli.images.open import open_animation, open_image, probe
from upsample_cli.images.save import open_sink
from upsample_cli.images.save_frames import open_frame_writer

LAYOUTS = sorted(FORMATS["jxl"].layouts, key=str)
CODES = ColourSpace(codes=(9, 7))  # the curve of SMPTE 240M, which JPEG XL states only by a profile
ICC = profile_of(CODES, "rgb")
EXIF, XMP = b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x:xmpmeta/>"
GREY = Layout("grey")


def noise(layout, height=HEIGHT, width=WIDTH):
    found = np.random.default_rng(5).random((height, width, layout.channels))
    return found.astype(np.float32) if layout.depth == 32 else (found * 2**layout.depth).astype(layout.dtype)


def smooth(layout):
    y, x, c = np.mgrid[:64, :80, : layout.channels]
    return ((x * 2 + y + c * 30) * (1 if layout.depth == 8 else 257)).astype(layout.dtype)


def written(rows, layout, *, quality=None, lossless=True, **metadata):
    file = io.BytesIO()
    sink = open_sink(
        file, FORMATS["jxl"], height=len(rows), width=rows.shape[1], layout=layout, metadata=Metadata(**metadata),
        quality=quality, info=ImageInfo("png", 1, 1, layout, lossless=lossless),
    )  # fmt: skip
    sink.write_rows(rows[:5].copy())
    sink.write_rows(rows[5:].copy())
    sink.finish()
    return file.getvalue()


def read(data, **settings):
    with open_image(io.BytesIO(data), **settings) as source:
        rows = source.read_rows(0, source.info.height)
        return rows, source.info, source.metadata, [str(loss) for loss in (*source.info.losses, *source.losses)]


def codestream(data):
    return read_container(io.BytesIO(data)).codestream(io.BytesIO(data))


def near(rows, other):
    return float(np.abs(rows.astype(float) - other).mean()) / np.iinfo(rows.dtype).max


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("parts", ["nothing", "profile", "codes", "boxes"])
def test_pixels_and_metadata_come_back_bit_for_bit(layout, parts):
    given = {
        "nothing": {}, "profile": {"icc_profile": profile_of(CODES, layout.colour)},
        "codes": {"colour": ColourSpace(codes=(1, 16))}, "boxes": {"exif": EXIF, "xmp": XMP},
    }[parts]  # fmt: skip
    rows = noise(layout)
    data = written(rows, layout, **given)
    found, info, metadata, losses = read(data)
    assert (info.layout, info.lossless, losses, metadata) == (layout, True, [], Metadata(**given))
    assert found.tobytes() == rows.tobytes()
    other = imagecodecs.jpegxl_decode(data)
    assert other.tobytes() == rows.tobytes()
    rows[3, 4, 0] += 1
    assert found.tobytes() != rows.tobytes()


def test_sizes_of_a_few_pixels_keep_their_layout():
    for height, width, layout in itertools.product((1, 2, 3, 4), (1, 2, 3, 4), LAYOUTS):
        rows = noise(layout, height, width)
        found, info, _, _ = read(written(rows, layout))
        assert info.layout == layout
        assert found.tobytes() == rows.tobytes()


def test_floating_point_keeps_every_bit():
    rows = np.array([[[np.nan], [np.inf], [-np.inf], [0.0], [1e-40], [-2]]], np.float32)
    found, *_ = read(written(rows, Layout("grey", depth=32)))
    assert found.tobytes() == rows.tobytes()


def encode_without_negative_zeros(pixels, **settings):
    """imagecodecs with libjxl 0.12."""
    if (pixels.view(np.uint32) == 1 << 31).any():
        raise imagecodecs.JpegxlError("JxlEncoderProcessOutput", "JXL_ENC_ERR_GENERIC")
    return ENCODE(pixels, **settings)


ENCODE = imagecodecs.jpegxl_encode


@pytest.mark.parametrize("encode", [ENCODE, encode_without_negative_zeros])
def test_negative_zeros_are_kept_or_become_zeros_with_a_warning(monkeypatch, encode):
    rows, file = np.array([[[-0.0], [0.5], [-1]]], np.float32), io.BytesIO()
    monkeypatch.setattr(imagecodecs, "jpegxl_encode", encode)
    layout = Layout("grey", depth=32)
    sink = open_sink(file, FORMATS["jxl"], height=1, width=3, layout=layout, metadata=Metadata(), quality=None)
    sink.write_rows(rows)
    sink.finish()
    found, *_ = read(file.getvalue())
    is_kept = found.tobytes() == rows.tobytes()
    assert found.ravel().tolist() == [0, 0.5, -1]
    expected = "negative zeros become zeros, because this version of libjxl cannot store them"
    assert [str(loss) for loss in sink.losses] == [expected] * (not is_kept)
    assert not (is_kept and encode is encode_without_negative_zeros)


def test_another_failure_of_the_encoder_is_not_taken_for_negative_zeros(monkeypatch):
    def fail(*_args, **_settings):
        raise imagecodecs.JpegxlError("JxlEncoderProcessOutput", "JXL_ENC_ERR_GENERIC")

    monkeypatch.setattr(imagecodecs, "jpegxl_encode", fail)
    with pytest.raises(OSError, match="gave up"):
        written(np.ones((1, 1, 1), np.float32), Layout("grey", depth=32))


def test_deep_pixels_are_said_to_be_srgb_and_not_linear():
    layout = Layout("rgb", depth=16)
    assert read_header(codestream(written(noise(layout), layout))).encoding == Encoding()
    assert read_header(codestream(imagecodecs.jpegxl_encode(noise(layout)))).encoding == Encoding(transfer=8)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.depth < 32], ids=str)
@pytest.mark.parametrize("colour", [None, ColourSpace(codes=(12, 13)), ColourSpace(codes=(1, 8)), "profile"])
def test_a_lossy_image_shows_the_same_colours(layout, colour):
    own = profile_of(CODES, layout.colour)
    given = {"icc_profile": own} if colour == "profile" else {"colour": colour}
    rows = smooth(layout)
    data = written(rows, layout, quality=90, **given)
    found, info, metadata, losses = read(data)
    assert losses == []
    assert info.layout == layout
    assert near(found, rows) < 0.01
    assert metadata.icc_profile == given.get("icc_profile")
    if layout.alpha:
        assert (found[..., -1] == rows[..., -1]).all()
    else:
        assert not info.lossless


def test_hdr_floating_point_and_quality_100_are_lossless():
    rows, deep = noise(Layout("rgb")), noise(Layout("rgb", depth=32))
    for data, wanted in (
        (written(rows, Layout("rgb"), quality=50, colour=ColourSpace(codes=(9, 16))), rows),
        (written(deep, Layout("rgb", depth=32), quality=50), deep),
        (written(rows, Layout("rgb"), quality=100), rows),
        (written(rows, Layout("rgb"), quality=90, icc_profile=b"damaged" * 30), rows),
    ):
        assert (read(data)[0] == wanted).all()
    assert (read(written(rows, Layout("rgb"), quality=50))[0] != rows).any()
    assert (read(written(rows, Layout("rgb"), lossless=False))[0] != rows).any()


def test_hdr_states_its_brightness():
    rows = noise(Layout("rgb"))
    for transfer, brightness in ((16, 10000), (18, 1000), (13, None)):
        data = written(rows, Layout("rgb"), colour=ColourSpace(codes=(9, transfer)))
        assert read_header(codestream(data)).intensity == brightness


@pytest.mark.parametrize("data", [PROFILE, PROFILE_IN_XYB], ids=["lossless", "lossy"])
def test_the_profile_of_another_encoder_is_read(data):
    rows, info, metadata, losses = read(data)
    assert metadata.icc_profile == ICC
    assert losses == []
    assert info.lossless == (data is PROFILE)
    assert np.abs(rows.astype(int) - PIXELS).max() <= (0 if data is PROFILE else 8)


def test_colours_in_xyb_are_converted_to_the_profile_and_not_left_linear():
    """The control: the decoder alone gives linear sRGB, which is wrong with the profile."""
    assert near(read(PROFILE_IN_XYB)[0], PIXELS) < 0.01
    assert near(imagecodecs.jpegxl_decode(PROFILE_IN_XYB), PIXELS) > 0.1


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.alpha], ids=str)
def test_alpha_beside_colours_in_xyb_with_a_profile_is_kept(layout):
    """A profile that says what the encoding says shows the same colours. The control: another curve shows others."""
    rows = noise(layout) if layout.depth == 32 else smooth(layout)
    photometric = None if layout.colour == "grey" else "rgb"
    stream = codestream(imagecodecs.jpegxl_encode(rows, distance=0.5, photometric=photometric))
    header = read_header(stream)
    wanted = imagecodecs.jpegxl_decode(stream).reshape(rows.shape).astype(float)
    full = 1 if layout.depth == 32 else np.iinfo(rows.dtype).max
    for transfer, limit in ((header.encoding.transfer, 0.01), (1, 1)):
        profile = profile_of(ColourSpace(codes=(1, transfer)), layout.colour)
        encoding = Encoding(header.encoding.space, has_profile=True)
        stated = Stated(encoding, header.bits, header.exponent_bits, profile=profile)
        found, info, metadata, losses = read(with_header(stream, header, header.end + 7 >> 3, stated))
        assert (info.layout, metadata.icc_profile, losses) == (layout, profile, [])
        np.testing.assert_array_equal(found[..., -1], wanted[..., -1])
        difference = np.abs(found[..., :-1] - wanted[..., :-1]).max() / full
        assert difference < limit
    assert difference > 0.03


def test_a_profile_that_cannot_be_used_leaves_linear_srgb_and_says_so(monkeypatch):
    monkeypatch.setattr("upsample_cli.images.codecs.jxl.look.can_convert", lambda *_: False)
    rows, _, metadata, losses = read(PROFILE_IN_XYB)
    assert losses == ["the colour profile (ICC) cannot be used; colours become linear sRGB"]
    assert (metadata.icc_profile, metadata.colour) == (None, ColourSpace(codes=(1, 8)))
    assert (rows == imagecodecs.jpegxl_decode(PROFILE_IN_XYB)).all()


def test_a_profile_that_is_too_large_is_left_out(monkeypatch):
    monkeypatch.setattr(profiles, "MAX_BYTES", 100)
    rows, _, metadata, losses = read(PROFILE)
    assert losses == ["the colour profile (ICC) of more than 1 MiB is left out"]
    assert metadata.icc_profile is None
    assert (rows == PIXELS).all()


@pytest.mark.parametrize("size", [0, 1, 41, 80, 127, 128, 129, 3000])
def test_profiles_are_written_as_they_are_read(size):
    generator = random.Random(size)
    for start in (b"", ICC[:40] + b"APPL", ICC[:40] + b"SGI ", ICC[:40] + b"SUNW", ICC):
        given = (start + generator.randbytes(size))[:size]
        bits = BitWriter()
        bits.put(5, 3)
        put_profile(bits, given)
        assert profiles.read_profile(BitReader(bits.bytes(), 3)) == given


def test_predictions_from_far_back_take_as_long_as_from_near(monkeypatch):
    """A coded profile may ask for thousands of them, each of one byte."""
    monkeypatch.setattr(profiles, "MAX_BYTES", 1 << 24)
    far, count = 2_000_000, 300

    def seconds(stride):
        predicted = bytes([4, 16]) + varint(stride) + b"\1"
        commands = b"\0\1" + varint(4 * far) + predicted * count
        sizes = varint(128 + 4 * far + count) + varint(len(commands))
        decoder = profiles._Decoder(sizes + commands + bytes(128 + 4 * far + count))
        start = time.process_time()
        assert len(decoder.profile()) == 128 + 4 * far + count
        return time.process_time() - start

    near = min(seconds(1) for _ in range(3))
    assert min(seconds(far) for _ in range(3)) < 10 * near


def test_encodings_and_colour_spaces_are_each_others_inverse():
    custom = (31000, 31600, 67000, 33000, 21000, 71000, 14000, 8000)
    for colour in (
        *(ColourSpace(codes=codes) for codes in itertools.product((1, 9, 11, 12), (1, 4, 5, 8, 16, 18))),
        ColourSpace(gamma=60000), ColourSpace(chromaticities=custom), ColourSpace(gamma=60000, chromaticities=custom),
    ):  # fmt: skip
        encoding = encoding_of(colour, "rgb")
        assert encoding is not None
        assert colour_of(encoding) == colour
    assert encoding_of(ColourSpace(codes=(9, 16), is_limited=True), "rgb") is None
    for bad in (
        Encoding(primaries=3), Encoding(white=7), Encoding(transfer=2), Encoding(primaries=2),
        Encoding(primaries=2, chromaticities=(None, (1, 1), (2, 2), (10**7, 0))),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no such colour space"):
            colour_of(bad)


@pytest.mark.parametrize("gamma", [None, 60000])
@pytest.mark.parametrize("layout", [GREY, Layout("rgb")], ids=str)
def test_colours_of_its_own_come_back(layout, gamma):
    given = ColourSpace(gamma=gamma, chromaticities=(31000, 31600, 67000, 33000, 21000, 71000, 14000, 8000))
    rows = noise(layout)
    data = written(rows, layout, colour=given)
    found, _, metadata, losses = read(data)
    assert (found == rows).all()
    assert imagecodecs.jpegxl_decode(data).tobytes() == rows.tobytes()
    assert losses == []
    assert metadata.colour is not None
    assert metadata.colour.gamma == gamma
    assert metadata.colour.chromaticities == given.chromaticities or layout == GREY


def test_the_orientation_of_the_codestream_counts():
    rows, info, metadata, losses = read(TURNED)
    assert (info.orientation, losses) == (6, [])
    assert rows.shape == (WIDTH, HEIGHT, 3)
    assert near(rows, PIXELS.swapaxes(0, 1)[:, ::-1]) < 0.05
    assert b"Maker" in metadata.exif
    upright = written(noise(GREY), GREY, exif=metadata.exif)  # Exif alone turns nothing: ISO/IEC 18181-2
    assert read(upright)[1].orientation == 1


def test_the_orientation_is_reset_in_the_output(tmp_path):
    (tmp_path / "a.jxl").write_bytes(TURNED)
    result = upsample_file(tmp_path / "a.jxl", tmp_path / "b.jxl", factor=2)
    assert result.warnings == ()
    _, info, metadata, _ = read((tmp_path / "b.jxl").read_bytes())
    block = Image.Exif()
    block.load(metadata.exif)
    assert (info.height, info.width, info.orientation, block[0x0112]) == (2 * WIDTH, 2 * HEIGHT, 1, 1)


def test_associated_alpha_is_divided_out():
    straight = noise(Layout("rgb", alpha=True))
    straight[..., 3] |= 128
    colour, alpha = straight[..., :3].astype(int), straight[..., 3:].astype(int)
    stored = np.concatenate([(colour * alpha + 127) // 255, alpha], axis=2).astype(np.uint8)
    data = codestream(written(stored, Layout("rgb", alpha=True)))
    found, *_ = read(with_extra(data, 0, is_associated=True))
    assert np.abs(found.astype(int) - straight).max() <= 1
    assert np.abs(read(with_extra(data, 0))[0].astype(int) - straight).max() > 50


@pytest.mark.parametrize(("bits", "dtype"), [(1, np.uint8), (5, np.uint8), (10, np.uint16), (12, np.uint16)])
def test_other_depths_are_scaled_to_the_full_range(bits, dtype):
    most = 2**bits - 1
    stored = np.arange(2**bits, dtype=dtype).repeat(3).reshape(1, -1, 3)
    data = imagecodecs.jpegxl_encode(stored, bitspersample=bits, photometric="rgb")
    found, info, *_ = read(data)
    full = np.iinfo(dtype).max
    assert info.layout == Layout("rgb", depth=8 if bits <= 8 else 16)
    assert found.ravel().tolist() == [(2 * int(level) * full + most) // (2 * most) for level in stored.ravel()]


def test_half_floats_are_read_as_floats():
    stored = noise(Layout("rgb", depth=32)).astype(np.float16)
    found, info, *_ = read(imagecodecs.jpegxl_encode(stored))
    assert info.layout == Layout("rgb", depth=32)
    assert (found == stored).all()


def test_channels_that_are_not_read_are_reported():
    planes = noise(GREY, HEIGHT, WIDTH * 3).reshape(3, HEIGHT, WIDTH)
    data = imagecodecs.jpegxl_encode(planes, planar=True, photometric="gray")
    found, info, _, losses = read(data)
    assert losses == ["2 more channels are left out"]
    assert info.layout == GREY
    assert (found[..., 0] == planes[0]).all()
    stream = codestream(written(noise(Layout("rgb", alpha=True)), Layout("rgb", alpha=True)))
    for kind in (1, 5):
        data = with_extra(stream, kind)
        found, _, _, losses = read(data)
        assert losses == ["1 more channel is left out"]
        assert (found == imagecodecs.jpegxl_decode(data)[..., :3]).all()
    assert read(with_extra(stream, 2))[3] == ["spot colours become part of the other colours (1)"]
    with pytest.raises(ImageError, match="holds CMYK colours, which is not supported in JPEG XL"):
        read(with_extra(stream, 4))


def frames_of(data, **settings):
    """The rows of each frame of an animation, and its duration."""
    return [
        (source.read_rows(0, source.info.height), float(duration))
        for source, duration in open_animation(io.BytesIO(data), **settings)
    ]


def test_an_animation_is_read_frame_by_frame():
    rows, info, _, losses = read(ANIMATION)
    assert (losses, info.frames) == ([], Frames(3, "animation", info.layout))
    found, wanted = frames_of(ANIMATION), imagecodecs.jpegxl_decode(ANIMATION)
    assert [duration for _, duration in found] == [100, 200, 50]
    assert all((frame == other).all() for (frame, _), other in zip(found, wanted, strict=True))
    assert (rows == wanted[0]).all()
    for number in (1, 2, 3):
        one, about, *_ = read(ANIMATION, frame=number)
        assert (one == wanted[number - 1]).all()
        assert about.frames is None
    assert (wanted[0] != wanted[1]).any()
    with pytest.raises(ImageError, match="has no frame 4; there are 3"):
        read(ANIMATION, frame=4)


@pytest.mark.parametrize("layout", [Layout("grey"), Layout("rgb", depth=16), Layout("rgb", alpha=True)], ids=str)
@pytest.mark.parametrize("settings", [{}, {"level": 80}, {"effort": 1}], ids=str)
def test_the_frames_of_other_settings_are_counted(layout, settings):
    """Several groups of pixels to a frame, and a frame that is the same as the one before."""
    frames = np.stack([noise(layout, 300, 270) for _ in range(3)])
    frames[2] = 255 - frames[2]
    frames = frames[..., 0] if layout.channels == 1 else frames
    data = imagecodecs.jpegxl_encode(frames, photometric="gray" if layout.channels == 1 else "rgb", **settings)
    assert read(data)[1].frames == Frames(3, "animation", layout)
    assert [duration for _, duration in frames_of(data)] == [100] * 3


def test_an_animation_stays_one_in_formats_that_hold_it(tmp_path):
    (tmp_path / "a.jxl").write_bytes(ANIMATION)
    for name in ("b.png", "b.jxl", "b.webp"):
        assert upsample_file(tmp_path / "a.jxl", tmp_path / name, factor=2).warnings == ()
    with Image.open(tmp_path / "b.png") as image:
        assert (image.n_frames, image.size, image.info["duration"]) == (3, (2 * WIDTH, 2 * HEIGHT), 100)
    with Image.open(tmp_path / "b.png") as image:
        expected = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    found = frames_of((tmp_path / "b.jxl").read_bytes())
    assert [duration for _, duration in found] == [100, 200, 50]
    assert all((frame == other).all() for (frame, _), other in zip(found, expected, strict=True))
    with pytest.raises(ImageError, match="of 3 the first is kept"):
        upsample_file(tmp_path / "a.jxl", tmp_path / "c.jpg", factor=2, strict=True)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("parts", ["nothing", "profile", "hdr"])
def test_frames_are_written_as_they_are_read(layout, quality, parts):
    own = profile_of(CODES, layout.colour)
    metadata = {
        "nothing": Metadata(), "profile": Metadata(icc_profile=own, exif=EXIF),
        "hdr": Metadata(colour=ColourSpace(codes=(1, 16)), xmp=XMP),
    }[parts]  # fmt: skip
    images = [noise(layout, 20, 30), noise(layout, 20, 30)[::-1], noise(layout, 20, 30)[:, ::-1]]
    file, info = io.BytesIO(), ImageInfo("png", 1, 1, layout, lossless=True)
    writer = open_frame_writer(file, FORMATS["jxl"], Frames(3, "animation", layout, 7), quality=quality, info=info)
    for image, duration in zip(images, (Fraction(100, 3), Fraction(0), Fraction(90_000)), strict=True):
        sink = writer.frame(height=20, width=30, layout=layout, metadata=metadata, duration_ms=duration)
        sink.write_rows(image.copy())
        sink.finish()
    writer.finish()
    data = file.getvalue()
    _, found, stated, losses = read(data)
    assert (found.frames, stated, losses) == (Frames(3, "animation", layout, 7), metadata, [])
    frames = frames_of(data)
    assert [duration for _, duration in frames] == [33, 1, 90_000]  # a frame of 0 ms would not be shown
    others = imagecodecs.jpegxl_decode(data)
    if quality is None or found.lossless:
        assert all(rows.tobytes() == image.tobytes() for (rows, _), image in zip(frames, images, strict=True))
        assert others.tobytes() == b"".join(image.tobytes() for image in images)
    else:
        assert len({rows.tobytes() for rows, _ in frames}) == 3
        assert all(near(rows, image) < 0.3 for (rows, _), image in zip(frames, images, strict=True))


def test_an_animation_that_cannot_be_counted_or_held_gives_its_first_frame(monkeypatch):
    start = "only the first frame of the animation is read, because "
    rows, info, _, losses = read(ANIMATION[:-20])
    assert (losses, info.frames) == ([start + "its end is damaged"], None)
    assert (rows == imagecodecs.jpegxl_decode(ANIMATION)[0]).all()
    monkeypatch.setattr("upsample_cli.images.codecs.jxl.look._MOST_FRAMES_BYTES", 1 << 9)
    assert read(ANIMATION)[3] == [start + "all of them take more than 0 MiB"]
    monkeypatch.undo()
    monkeypatch.setattr("upsample_cli.images.codecs.jxl.frames.MAX_FRAMES", 2)
    assert read(ANIMATION)[1].frames is None


def test_the_parts_of_all_frames_are_limited_and_not_only_the_frames(monkeypatch):
    monkeypatch.setattr("upsample_cli.images.codecs.jxl.frames.MAX_PARTS", 2, raising=False)
    assert read(ANIMATION)[1].frames is None
    monkeypatch.undo()
    assert read(ANIMATION)[1].frames is not None


def test_a_still_image_is_not_an_animation():
    with pytest.raises(ImageError, match="holds one image now"):
        frames_of(PROFILE)


def test_metadata_boxes_are_read_and_others_reported():
    stream = codestream(written(noise(GREY), GREY))
    exif = (b"brob", b"Exif" + imagecodecs.brotli_encode(b"\0\0\0\2ab" + EXIF))
    xmp, second, other = (b"brob", b"xml " + imagecodecs.brotli_encode(XMP)), (b"xml ", b"<b/>"), (b"brob", b"c2paz")
    data = boxed((b"jumb", b"x"), exif, xmp, (b"jhgm", b"y"), (b"jxlc", stream), other, second)
    _, _, metadata, losses = read(data)
    assert (metadata.exif, metadata.xmp) == (EXIF, XMP)
    assert losses == [
        "the gain map, which makes it HDR, is left out", "boxes that we do not keep are left out (c2pa, jumb, xml)"
    ]  # fmt: skip


@pytest.mark.parametrize("box", [
    (b"brob", b"Exif" + b"\1\2\3"), (b"Exif", b"\0"), (b"Exif", b"\0\0\0\0junk"),
    (b"brob", b"xml " + imagecodecs.brotli_encode(bytes(20 << 20))), (b"xml ", b""),
])  # fmt: skip
def test_damaged_metadata_cost_a_warning(box):
    _, _, metadata, losses = read(boxed(box, (b"jxlc", codestream(written(noise(GREY), GREY)))))
    assert metadata == Metadata()
    assert len(losses) == 1
    assert losses[0] in {"the EXIF block is damaged and is left out", "the XMP is damaged and is left out"}


def test_a_codestream_in_parts_is_joined():
    rows = noise(GREY, 40, 50)
    stream = codestream(written(rows, GREY))
    parts = [(b"jxlp", bytes(4) + stream[at : at + 100]) for at in range(0, len(stream), 100)]
    assert len(parts) > 3
    assert (read(boxed((b"jxlp", bytes(4)), *parts))[0] == rows).all()
    with pytest.raises(ImageError, match="is damaged"):
        read(boxed((b"xml ", XMP)))


def test_an_absurd_size_is_refused_before_anything_is_decoded(monkeypatch):
    def decoded(*_args, **_settings):
        raise AssertionError("decoded")

    monkeypatch.setattr(imagecodecs, "jpegxl_decode", decoded)
    stream = codestream(written(noise(GREY), GREY))
    assert (probe(io.BytesIO(stream)).height, probe(io.BytesIO(stream)).width) == (HEIGHT, WIDTH)
    for height, width in ((2**30, 2**30), (1, 2**30), (30_000, 30_000)):
        with pytest.raises(ImageError, match="pixels, more than the limit of") as caught:
            probe(io.BytesIO(with_size(stream, height, width)))
        assert caught.value.failure.kind == "too-large"


def test_a_bomb_costs_no_more_than_its_pixels():
    """The size is as large as allowed, and the coded pixels are few."""
    stream = codestream(written(noise(GREY), GREY))
    with pytest.raises(ImageError, match=r"is truncated|is damaged"):
        read(with_size(stream, 3000, 3000))


@pytest.mark.parametrize("name", ["bare", "boxed", "profile", "lossy", "jpeg"])
def test_a_truncated_file_is_one_line(name):
    layout = Layout("rgb", depth=16)
    data = {
        "bare": codestream(written(noise(layout), layout)), "boxed": written(noise(layout), layout, exif=EXIF),
        "profile": PROFILE, "lossy": PROFILE_IN_XYB, "jpeg": TURNED,
    }[name]  # fmt: skip
    for tenth in range(1, 10):
        with pytest.raises(ImageError) as caught:
            read(data[: len(data) * tenth // 10])
        assert "\n" not in str(caught.value)
        assert caught.value.failure.kind in {"damaged", "not-an-image"}
    read(data)


def test_flipped_bits_raise_nothing_else():
    generator = random.Random(4)
    outcomes = set()
    for data in (PROFILE, PROFILE_IN_XYB, TURNED, ANIMATION):
        for _ in range(60):
            bad = bytearray(data)
            bad[generator.randrange(len(bad))] ^= 1 << generator.randrange(8)
            try:
                read(bytes(bad), max_pixels=10**6)
                outcomes.add("read")
            except ImageError as error:
                outcomes.add(error.failure.kind if "\n" not in str(error) else "several lines")
    assert {"read", "damaged"} <= outcomes <= {"read", "damaged", "unsupported", "too-large", "not-an-image"}


def test_the_content_decides_and_not_the_name(tmp_path):
    rows = noise(Layout("rgb"))
    for data in (written(rows, Layout("rgb")), written(rows, Layout("rgb"), xmp=XMP)):
        (tmp_path / "a.png").write_bytes(data)
        assert probe(tmp_path / "a.png").format == "jxl"


def test_a_frame_that_does_not_exist_is_refused():
    data = written(noise(GREY), GREY)
    assert read(data, frame=1)[1].height == HEIGHT
    with pytest.raises(ImageError, match="frame"):
        read(data, frame=2)
