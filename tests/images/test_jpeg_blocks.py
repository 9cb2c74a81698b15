"""Every JPEG segment is kept or reported as a loss, whoever wrote it; an independent reader counts them."""

import io
import re
import struct
import tracemalloc
from collections import Counter

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo
from support.facts import lines

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.jpeg import segments
from upsample_cli.images.metadata.iptc import jpeg_segments
from upsample_cli.images.metadata.photoshop import read_resources
from upsample_cli.images.open import open_image, probe, read_header

PIXELS = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)
EXIF = b"II*\0\x08\0\0\0\1\0\x0f\x01\2\0\4\0\0\0Me!\0" + bytes(4)
OTHER_EXIF = EXIF.replace(b"Me!", b"You")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
CAPTION = b"\x1c\x02\x05\0\3Sea"


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(*parts, after=b"", **settings):
    """A JPEG with these segments before its own."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", **settings)
    data = file.getvalue()
    return data[:2] + b"".join(parts) + data[2:] + after


def resource(code, data, name=b""):
    name = bytes([len(name)]) + name
    return (
        b"8BIM"
        + struct.pack(">H", code)
        + name
        + bytes(len(name) % 2)
        + struct.pack(">I", len(data))
        + data
        + bytes(len(data) % 2)
    )


def photoshop(*resources):
    return segment(0xED, b"Photoshop 3.0\0" + b"".join(resources))


def found_in(data):
    """Metadata and losses, including the losses that only reading the whole file shows."""
    _, metadata = read_header(io.BytesIO(data))
    with open_image(io.BytesIO(data)) as source:
        assert source.metadata == metadata
        return metadata, lines(source.info.losses)


def counted(data):
    """The number of segments of each kind before the pixels, counted independently."""
    at, kinds = 2, Counter()
    while data[at + 1] != 0xDA:
        kinds[data[at + 1]] += 1
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return kinds


FOREIGN = {
    "APP1 FLIR": segment(0xE1, b"FLIR\0\1\0\1" + bytes(20)),
    "APP2 FPXR": segment(0xE2, b"FPXR\0" + bytes(9)),
    "APP3 Meta": segment(0xE3, b"Meta\0\0" + bytes(9)),
    "APP4": segment(0xE4, b"\1\2\3"),
    "APP6 GoPro": segment(0xE6, b"GoPro\0" + bytes(9)),
    "APP11 JP": segment(0xEB, b"JP\0\1" + bytes(30)),
    "APP12 [picture info]": segment(0xEC, b"[picture info]\r\nTimeDate=0"),
    "APP13 Adobe_CM": segment(0xED, b"Adobe_CM\0\2"),
    "APP15": segment(0xEF, b""),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_segment_without_a_reader_is_a_loss(name):
    assert found_in(jpeg(FOREIGN[name]))[1] == (f"segments of other programs are left out: {name}",)


def test_every_application_segment_is_kept_or_reported():
    """Any marker number or name that is not in the table of readers is reported."""
    for number in range(16):
        for signature in (b"Nobody\0", b"\0\1", b"Exit\0\0", b"ICC_PROFIL", b"JFIX\0", b"Photoshop 2.5"):
            losses = found_in(jpeg(segment(0xE0 + number, signature)))[1]
            assert len(losses) == 1
            assert f"APP{number}" in losses[0]


def test_remarks_of_photoshops_settings_for_the_web_are_a_loss():
    quality, remark = b"Ducky\0\1\0\4\0\0\0\x50", b"\0\2\0\x0a\0\0\0\3\0a\0b\0c"
    assert found_in(jpeg(segment(0xEC, quality + b"\0\0")))[1] == ()
    lost = ("segments of other programs are left out: APP12 Ducky",)
    assert found_in(jpeg(segment(0xEC, quality + remark + b"\0\0")))[1] == lost


def test_many_lost_segments_are_counted_in_a_short_list():
    loss = found_in(jpeg(*(segment(0xE5, b"Kind%d\0" % (index % 9)) for index in range(90))))[1][0]
    assert loss.startswith("segments of other programs are left out: APP5 Kind0 (10), ")
    assert loss.endswith(", 3 others")


def test_segments_about_the_encoding_are_not_a_loss():
    parts = (segment(0xE0, b"JFXX\0\x10" + bytes(9)), segment(0xEC, b"Ducky\0\1\0\4\0\0\0\x3c\0\0"),
             segment(0xE8, b"SPIFF\0" + bytes(24)), segment(0xE0, b"AVI1\0" + bytes(9)))  # fmt: skip
    assert found_in(jpeg(*parts))[1] == ()


@pytest.mark.parametrize("progressive", [False, True])
def test_segments_after_the_first_scan_are_reported_too(progressive):
    data = jpeg(progressive=progressive)
    at = [start for marker, start, _ in segments(data) if marker in (0xC4, 0xDA, 0xD9)][-1 if not progressive else -4]
    losses = found_in(data[:at] + FOREIGN["APP6 GoPro"] + data[at:])[1]
    assert losses == ("segments of other programs are left out: APP6 GoPro",)


def test_bytes_after_the_image_are_reported():
    film = b"\0\0\0\x18ftypmp42" + bytes(100) + b"!"
    assert found_in(jpeg(after=film))[1] == (f"what follows the image in its file is left out ({len(film)} bytes)",)
    assert found_in(jpeg(after=b"\0" * 500 + b"\r\n\xff\xd9"))[1] == ()


def test_comments_and_captions_keep_their_number(tmp_path):
    captions = b"".join(b"\x1c\x02\x19" + struct.pack(">H", 5) + b"%05d" % index for index in range(14_000))
    assert len(captions) > 2 * 65533 > len(captions) - 70_000
    parts = (segment(0xFE, b"first"), segment(0xFE, b"second"), jpeg_segments(captions))
    (tmp_path / "in.jpg").write_bytes(before := jpeg(*parts))
    result = upsample_file(tmp_path / "in.jpg", tmp_path / "out.jpg", factor=2)
    assert lines(result.losses) == ()
    after = (tmp_path / "out.jpg").read_bytes()
    assert {marker: counted(before)[marker] for marker in (0xED, 0xFE)} == {0xED: 3, 0xFE: 2}
    assert counted(after) == counted(before)
    metadata, _ = found_in(after)
    assert metadata.iptc == captions
    assert metadata.text == (("Comment", "first"), ("Comment", "second"))


def test_every_segment_is_kept_or_named(tmp_path):
    """Counted independently: the segments of a kind missing after the round trip are the ones the losses name."""
    own = [segment(0xFE, b"remark"), photoshop(resource(0x0404, CAPTION)), *profile_pieces(bytes(range(200)), 1)]
    before = jpeg(*own, *FOREIGN.values(), FOREIGN["APP1 FLIR"], exif=b"Exif\0\0" + EXIF, xmp=XMP)
    (tmp_path / "in.jpg").write_bytes(before)
    losses = lines(upsample_file(tmp_path / "in.jpg", tmp_path / "out.jpg", factor=2).losses)
    missing = counted(before) - counted((tmp_path / "out.jpg").read_bytes())
    named = "APP1 FLIR (2), APP2 FPXR, APP3 Meta, APP4, APP6 GoPro, APP11 JP, 3 others"
    assert losses == (f"segments of other programs are left out: {named}",)
    assert missing == {0xE1: 2, **dict.fromkeys((0xE2, 0xE3, 0xE4, 0xE6, 0xEB, 0xEC, 0xED, 0xEF), 1)}


@pytest.mark.parametrize("size", [65_533, 65_534])
def test_a_comment_too_long_for_a_segment_is_left_out(tmp_path, size):
    text = PngInfo()
    text.add_text("Comment", "x" * size)
    Image.fromarray(PIXELS).save(tmp_path / "in.png", pnginfo=text)
    result = upsample_file(tmp_path / "in.png", tmp_path / "out.jpg", factor=2)
    held = size <= 65_533
    assert lines(result.losses) == (() if held else ("JPEG cannot hold the text Comment; it is left out",))
    assert found_in((tmp_path / "out.jpg").read_bytes())[0].text == ((("Comment", "x" * size),) if held else ())


def test_photoshop_resources_are_read_or_reported():
    parts = (
        resource(0x0404, CAPTION), resource(0x07D0, b"path", b"Path 1"), resource(0x07D1, b"path"),
        resource(0x040A, b"\1"), resource(0x040B, b"http://example.org"), resource(0x1234, b"?"),
        resource(0x040C, b"thumbnail"), resource(0x03F3, bytes(8)), resource(0x0408, bytes(16)),
    )  # fmt: skip
    metadata, losses = found_in(jpeg(photoshop(*parts)))
    assert metadata.iptc == CAPTION
    assert losses == (
        "resources of Photoshop are left out: clipping paths (2), the copyright flag, a URL, number 4660",
    )
    assert found_in(jpeg(photoshop(*parts[-3:])))[1] == ()


def test_photoshop_resources_in_the_text_of_a_png_are_read_or_reported_too():
    block = resource(0x0404, CAPTION) + resource(0x07D0, b"path")
    text, file = PngInfo(), io.BytesIO()
    text.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n", zip=True)
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=text)
    metadata, losses = found_in(file.getvalue())
    assert (metadata.iptc, losses) == (CAPTION, ("resources of Photoshop are left out: clipping paths",))


def test_resources_split_over_segments_are_joined():
    block = resource(0x0404, CAPTION) + resource(0x0424, XMP) + resource(0x0422, EXIF)
    for step in (1, 7, 50):
        parts = [photoshop(block[at : at + step]) for at in range(0, len(block), step)]
        metadata, losses = found_in(jpeg(*parts))
        assert (metadata.iptc, metadata.xmp, metadata.exif) == (CAPTION, XMP, EXIF)
        assert losses == ()


def test_exif_and_xmp_in_segments_take_precedence_over_resources():
    resources = photoshop(resource(0x0424, XMP.replace(b"/>", b" x:a='b'/>")), resource(0x0422, OTHER_EXIF))
    metadata, losses = found_in(jpeg(resources, exif=b"Exif\0\0" + EXIF, xmp=XMP))
    assert (metadata.exif, metadata.xmp) == (EXIF, XMP)
    assert losses == ("of 2 EXIF blocks one is kept", "of 2 XMP packets one is kept")


@pytest.mark.parametrize(
    "block", [b"8BIM", b"8BIM\4\4", b"8BIM\4\4\0\0\xff\xff\xff\xff", b"junk", resource(1030, b"x")[:-2]]
)
def test_damaged_resources_are_reported(block):
    assert read_resources(block).lost == {"damaged ones": 1}
    assert read_resources(resource(0x0404, CAPTION) + block).captions == CAPTION


def test_resolution_and_pixel_proportion_are_read_from_photoshop_and_jfif():
    inches = struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 1, 1)
    assert found_in(jpeg(photoshop(resource(0x03ED, inches))))[0].dpi == (300, 150)
    assert found_in(jpeg(photoshop(resource(0x03ED, inches)), dpi=(72, 72)))[0].dpi == (72, 72)
    assert found_in(jpeg(photoshop(resource(0x0428, struct.pack(">Id", 1, 2.0)))))[0].aspect == (1000, 2000)


def with_density(unit, across, down, **settings):
    data = jpeg(**settings)
    return data[:13] + struct.pack(">BHH", unit, across, down) + data[18:]


@pytest.mark.parametrize(("unit", "across", "down"), [(0, 2, 1), (1, 300, 150), (0, 1, 1), (0, 0, 5)])
def test_non_square_pixels_stay_non_square(tmp_path, unit, across, down):
    (tmp_path / "in.jpg").write_bytes(with_density(unit, across, down))
    assert upsample_file(tmp_path / "in.jpg", tmp_path / "out.jpg", factor=2).losses == ()
    expected = (unit, across, down) if across and across != down else (0, 1, 1)
    assert struct.unpack(">BHH", (tmp_path / "out.jpg").read_bytes()[13:18]) == expected
    losses = lines(upsample_file(tmp_path / "in.jpg", tmp_path / "out.gif", factor=2).losses)
    assert any("proportion" in loss or "resolution" in loss for loss in losses) == (expected != (0, 1, 1))


def test_the_proportion_of_non_square_pixels_turns_with_the_image(tmp_path):
    turned = b"II*\0\x08\0\0\0\1\0\x12\x01\3\0\1\0\0\0\6\0\0\0" + bytes(4)
    (tmp_path / "in.jpg").write_bytes(with_density(0, 2, 1, exif=b"Exif\0\0" + turned))
    upsample_file(tmp_path / "in.jpg", tmp_path / "out.jpg", factor=2)
    assert struct.unpack(">BHH", (tmp_path / "out.jpg").read_bytes()[13:18]) == (0, 1, 2)


def test_exif_in_pieces_is_joined_and_a_second_block_is_reported():
    pieces = [segment(0xE1, b"Exif\0\0" + EXIF[at : at + 9]) for at in range(0, len(EXIF), 9)]
    assert found_in(jpeg(*pieces)) == found_in(jpeg(exif=b"Exif\0\0" + EXIF))
    blocks = [segment(0xE1, b"Exif\0\0" + block) for block in (EXIF, EXIF, OTHER_EXIF)]
    metadata, losses = found_in(jpeg(*blocks))
    assert (metadata.exif, losses) == (EXIF, ("of 2 EXIF blocks one is kept",))


def profile_pieces(profile, count):
    step = -(-len(profile) // count)
    return [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([index + 1, count]) + profile[index * step : (index + 1) * step])
        for index in range(count)
    ]


def test_a_profile_in_pieces_is_joined_and_an_incomplete_one_is_reported():
    profile = bytes(range(200))
    pieces = profile_pieces(profile, 3)
    assert found_in(jpeg(*pieces[::-1]))[0].icc_profile == profile
    assert found_in(jpeg(*pieces, *pieces))[0].icc_profile == profile
    for damaged in (pieces[:2], [segment(0xE2, b"ICC_PROFILE\0")]):
        metadata, losses = found_in(jpeg(*damaged))
        assert metadata.icc_profile is None
        assert losses == ("the colour profile (ICC) is incomplete and is left out",)


def index_of_images(*kinds, offsets=()):
    offsets = [*offsets, *[0] * (len(kinds) - len(offsets))]
    table = b"".join(struct.pack("<IIIHH", kind, 100, at, 0, 0) for kind, at in zip(kinds, offsets, strict=True))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", 2)
    head += struct.pack("<HHII", 0xB001, 4, 1, len(kinds)) + struct.pack("<HHII", 0xB002, 7, len(table), 38) + bytes(4)
    return segment(0xE2, b"MPF\0" + head + table)


@pytest.mark.parametrize(
    ("parts", "images", "lost"),
    [
        ([index_of_images(0x030000, 0x020002)], 2, ()),
        ([index_of_images(0x030000, 0x010001, 0x010002)], None, ()),  # previews
        ([index_of_images(0x030000, 0), segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")], None, ("gain map",)),
        ([index_of_images(0x030000, 0, 0x020002), segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0")], 2, ("gain map",)),
        ([segment(0xE2, b"MPF\0no TIFF")], None, ()),
        ([index_of_images(0x030000, 0x020002), segment(0xE2, b"MPF\0no TIFF")], 2, ()),  # the first index counts
    ],
)
def test_other_images_are_reported_as_views_previews_or_gain_maps(parts, images, lost):
    info, _ = read_header(io.BytesIO(jpeg(*parts)))
    assert (info.frames.count if info.frames else None) == images
    assert [word for word in lost if word in " ".join(lines(info.losses))] == list(lost)
    assert len(info.losses) == len(lost)


def with_auxiliary(xmp, further=b""):
    """A JPEG as a phone writes it: an auxiliary image follows, whose purpose is in its own XMP."""
    second = jpeg(segment(0xE1, b"Exif\0\0" + EXIF), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
    first = jpeg(index_of_images(0x030000, 0))
    distance = len(first) - first.index(b"MPF\0") - 4 + len(further)
    return jpeg(index_of_images(0x030000, 0, offsets=(0, distance)), after=further + second)


@pytest.mark.parametrize(
    "form", ['apdi:AuxiliaryImageType="{}"', "<apdi:AuxiliaryImageType>{}</apdi:AuxiliaryImageType>"]
)
@pytest.mark.parametrize(
    ("purpose", "loss"),
    [
        ("hdrgainmap", "an HDR gain map is left out: the image for displays without HDR is kept"),
        ("portraiteffectsmatte", "an auxiliary image (portraiteffectsmatte) is left out"),
    ],
)
def test_an_auxiliary_image_of_a_phone_is_a_loss_and_not_a_second_image(tmp_path, form, purpose, loss):
    data = with_auxiliary(form.format(f"urn:com:apple:photo:2020:aux:{purpose}").encode(), further=bytes(7))
    info, _ = read_header(io.BytesIO(data))
    assert info.frames is None
    assert found_in(data)[1] == (loss,)
    path = tmp_path / "phone.jpg"
    path.write_bytes(data)
    assert lines(upsample_file(path, tmp_path / "kept.jpg", factor=2).losses) == (loss,)
    with pytest.raises(ImageError, match="refused by strict"):
        upsample_file(path, tmp_path / "out.jpg", factor=2, strict=True)
    other = with_auxiliary(b"<x:xmpmeta/>")
    info, _ = read_header(io.BytesIO(other))
    assert info.frames.count == 2


@pytest.mark.parametrize("at", [0, 1, 40, 2**31, 2**32 - 1])
def test_an_index_that_leads_nowhere_lists_a_second_image(at):
    info, _ = read_header(io.BytesIO(jpeg(index_of_images(0x030000, 0, offsets=(0, at)))))
    assert info.frames.count == 2
    assert found_in(jpeg(index_of_images(0x030000, 0, offsets=(0, at))))[1] == ()


def test_indexed_images_do_not_count_as_trailing_bytes():
    """Most cameras append a preview for screens, which was made from the image."""
    preview = index_of_images(0x030000, 0x010001)
    assert found_in(jpeg(preview, after=jpeg()))[1] == ()
    assert found_in(jpeg(after=jpeg()))[1] == (f"what follows the image in its file is left out ({len(jpeg())} bytes)",)


@pytest.mark.parametrize(
    "damaged",
    [
        segment(0xE0, b"JFIF"), segment(0xE0, b"JFIF\0\1"), segment(0xEE, b"Adobe"),
        segment(0xED, b"Photoshop 3.0\08BIM\4"),
        segment(0xE1, b"Exif"), segment(0xE1, b"Exif\0\0"), segment(0xE2, b"MPF\0"), segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE5, b"") + b"\0\0junk\0", b"\xff\xff\xff", segment(0xE5, b"") + b"\xff\x00",
    ],
)  # fmt: skip
def test_damage_outside_the_scans_keeps_the_image(damaged):
    with open_image(io.BytesIO(jpeg(damaged))) as source:
        rows = source.read_rows(0, 24)
    np.testing.assert_array_equal(rows, np.asarray(Image.open(io.BytesIO(jpeg()))))


def deep(height=32, width=48):
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([(x * 80) % 4096, (y * 120) % 4096, (x * y) % 4096]).astype(np.uint16)


@pytest.mark.parametrize(
    ("pixels", "settings", "bits"),
    [
        (deep()[..., 0], {"bitspersample": 12}, 12),
        (deep(), {"bitspersample": 12, "subsampling": "444"}, 12),
        (deep(), {"bitspersample": 12, "subsampling": "420"}, 12),
        (deep(), {"bitspersample": 12, "lossless": True}, 12),
        (deep()[..., 0] << 4, {"bitspersample": 16, "lossless": True}, 16),
        (deep()[..., 0] >> 2, {"bitspersample": 10, "lossless": True}, 10),
        ((deep() >> 4).astype(np.uint8), {"lossless": True}, 8),
        ((deep()[..., 0] >> 8).astype(np.uint8), {"bitspersample": 4, "lossless": True}, 4),
    ],
)
def test_12_bit_and_lossless_jpeg_is_read(pixels, settings, bits):
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), 98, **settings)
    stored = imagecodecs.jpeg8_decode(data).reshape(*pixels.shape[:2], -1).astype(int)
    if "lossless" in settings:
        np.testing.assert_array_equal(stored, pixels.reshape(stored.shape))
    with open_image(io.BytesIO(data)) as source:
        assert source.info.layout.depth == (16 if bits > 8 else 8)
        assert source.info.lossless == ("lossless" in settings)
        rows = source.read_rows(0, 32)
    full = 65535 if bits > 8 else 255
    assert np.abs(rows - stored * full / (2**bits - 1)).max() <= 1
    assert rows[stored == 0].max(initial=0) == 0


@pytest.mark.parametrize(
    ("marker", "bits", "cause"),
    [
        (0xC5, 8, "is a hierarchical JPEG"),
        (0xF7, 8, "is JPEG-LS"),
        (0xCB, 8, "is a lossless JPEG in arithmetic coding"),
        (0xC0, 12, "is a JPEG of 12 bits"),
        (0xC1, 10, "is a JPEG of 10 bits"),
        (0xC3, 17, "is a lossless JPEG of 17 bits"),
    ],
)
def test_an_unsupported_jpeg_is_refused_by_name(marker, bits, cause):
    data = jpeg().replace(b"\xff\xc0\0\x11\x08", bytes((0xFF, marker, 0, 0x11, bits)))
    with pytest.raises(ImageError, match=cause) as caught:
        probe(io.BytesIO(data))
    assert caught.value.failure.kind == "unsupported"


WHOLE = {
    "baseline": jpeg(), "progressive": jpeg(progressive=True), "restarts": jpeg(restart_marker_blocks=2),
    "optimised": jpeg(optimize=True, quality=30), "ink": None, "lossless": None, "inks as YCCK": None,
}  # fmt: skip
_file = io.BytesIO()
Image.fromarray(np.dstack([PIXELS, PIXELS[..., 0]]), "CMYK").save(_file, "JPEG")
WHOLE["ink"] = _file.getvalue()
WHOLE["inks as YCCK"] = bytes(
    imagecodecs.jpeg8_encode(np.dstack([PIXELS, PIXELS[..., 0]]), colorspace="CMYK", outcolorspace="YCCK")
)
WHOLE["lossless"] = bytes(imagecodecs.jpeg8_encode(PIXELS, lossless=True))


def rows_and_losses(data):
    with open_image(io.BytesIO(data)) as source:
        return source.read_rows(0, source.info.height), lines(source.info.losses)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("tail", [b"", b"\xff", b"\0" * 5000])
def test_a_missing_end_marker_costs_no_pixel(name, tail):
    whole = WHOLE[name]
    rows, losses = rows_and_losses(whole[:-2] + tail)
    assert losses == ("the end marker of the file is missing; all pixels are there",)
    np.testing.assert_array_equal(rows, rows_and_losses(whole)[0])


@pytest.mark.parametrize("name", WHOLE)
def test_a_jpeg_without_all_its_pixels_is_refused(name):
    whole = WHOLE[name]
    for cut in (5, 9, 20, len(whole) // 3):
        for tail in (b"", b"\0" * 5000):
            with pytest.raises(ImageError, match=r"is truncated|is damaged"):
                rows_and_losses(whole[:-cut] + tail)


RESTARTED = jpeg(restart_marker_blocks=2)
RESTARTS_AT = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", RESTARTED)]


@pytest.mark.parametrize("at", RESTARTS_AT[::3])
def test_pixels_that_end_before_a_restart_marker_are_missed(at):
    with pytest.raises(ImageError, match="is truncated"):
        rows_and_losses(RESTARTED[:at])


@pytest.mark.parametrize("name", ["baseline", "restarts", "optimised", "ink", "inks as YCCK"])
def test_missing_pixels_before_an_end_marker_are_a_loss(name):
    """Pillow's decoder, too, makes them grey."""
    whole = WHOLE[name]
    assert rows_and_losses(whole)[1] == ()
    for cut in (len(whole) // 3, len(whole) // 4):
        data = whole[:-cut] + b"\xff\xd9"
        rows, losses = rows_and_losses(data)
        assert losses == ("pixels at its end are missing and become grey",)
        assert np.isin(rows[-1, -1], (127, 128)).all()


def in_three_scans():
    """A JPEG with a scan for each component, from three grey ones with the same tables."""
    parts = []
    for channel in range(3):
        file = io.BytesIO()
        Image.fromarray(PIXELS[..., channel]).save(file, "JPEG")
        parts.append(file.getvalue())
    frame, scan = parts[0].index(b"\xff\xc0"), parts[0].index(b"\xff\xda")
    after_frame = frame + 2 + 11
    sides = parts[0][frame + 5 : frame + 9]
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    head = parts[0][:frame] + b"\xff\xc0\0\x11\x08" + sides + b"\3" + components + parts[0][after_frame:scan]
    coded = (part[part.index(b"\xff\xda") + 10 : -2] for part in parts)
    scans = [b"\xff\xda\0\x08\1" + bytes((number, 0, 0, 63, 0)) + data for number, data in enumerate(coded, start=1)]
    return head + b"".join(scans) + b"\xff\xd9", len(scans[-1])


def test_missing_pixels_of_the_last_of_three_scans_are_a_loss():
    whole, last_bytes = in_three_scans()
    rows, losses = rows_and_losses(whole)
    np.testing.assert_array_equal(rows, np.array(Image.open(io.BytesIO(whole))))
    assert losses == ()
    for cut in (20, last_bytes // 2):
        assert rows_and_losses(whole[:-cut] + b"\xff\xd9")[1] == ("pixels at its end are missing and become grey",)


def test_grey_pixels_at_the_end_are_not_missing():
    for mode in ("RGB", "L"):
        file = io.BytesIO()
        Image.new(mode, (40, 40), (128,) * len(mode)).save(file, "JPEG")
        rows, losses = rows_and_losses(file.getvalue())
        assert losses == ()
        assert (rows == 128).all()


def test_a_small_file_of_a_large_size_is_refused_before_it_takes_memory():
    data = jpeg()
    at = data.index(b"\xff\xc0") + 5
    for side, words in ((2000, "truncated"), (200, "become grey")):
        claimed = data[:at] + side.to_bytes(2, "big") * 2 + data[at + 4 :]
        tracemalloc.start()
        if words == "truncated":
            with pytest.raises(ImageError, match=words):
                rows_and_losses(claimed)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        else:
            assert words in rows_and_losses(claimed)[1][0]
        tracemalloc.stop()


def test_a_progressive_jpeg_that_ends_after_some_scans_is_a_loss():
    data = WHOLE["progressive"]
    scans = [start for marker, start, _ in segments(data) if marker == 0xDA]
    for at in scans[1:]:
        assert "scans at its end are missing, and details with them" in rows_and_losses(data[:at] + b"\xff\xd9")[1]
    assert rows_and_losses(data)[1] == ()


def test_a_jpeg_without_all_its_scans_is_refused():
    data = WHOLE["progressive"]
    scans = [start for marker, start, _ in segments(data) if marker == 0xDA]
    assert len(scans) > 4
    for at in scans[1:]:
        with pytest.raises(ImageError, match="is truncated"):
            rows_and_losses(data[:at])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
