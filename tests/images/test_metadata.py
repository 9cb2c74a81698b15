"""Metadata read from files that Pillow, tifffile and this test wrote."""

import io
import struct
import zlib
from binascii import hexlify

import numpy as np
import pytest
from imagecodecs import jpegxl_decode
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.facts import lines

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.metadata.exif import orientation, without_prefix
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.model import Metadata
from upsample_cli.images.open import open_image, read_header

RGB = Image.fromarray(np.random.default_rng(7).integers(0, 256, (21, 37, 3), np.uint8))
PROFILE = bytes(range(200))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" a="\xc3\xa9"/></x:xmpmeta>'


def exif_block():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", 6
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 37, 0xA003: 21, 0x927C: b"note of the maker"}
    return without_prefix(exif.tobytes())


EXIF = exif_block()


def saved(kind, **settings):
    file = io.BytesIO()
    RGB.save(file, kind, **settings)
    return file.getvalue()


def found_in(data):
    """Metadata and warnings, which must be the same before and after decoding."""
    info, metadata = read_header(io.BytesIO(data))
    with open_image(io.BytesIO(data)) as source:
        assert (source.info, source.metadata) == (info, metadata)
    return metadata, lines(info.losses)


def png_with(*chunks, late=False):
    data = saved("PNG")
    at = data.index(b"IEND") - 4 if late else data.index(b"IDAT") - 4
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return data[:at] + body + data[at:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_profile_exif_and_xmp_are_read_unchanged(kind):
    settings = {"icc_profile": PROFILE, "exif": b"Exif\0\0" + EXIF}
    if kind == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        settings["pnginfo"] = info
    else:
        settings["xmp"] = XMP
    metadata, warnings = found_in(saved(kind, **settings))
    assert (metadata.icc_profile, metadata.xmp, metadata.text) == (PROFILE, XMP, ())
    if kind == "AVIF":  # Pillow stores the orientation elsewhere and rewrites the block
        assert orientation(metadata.exif) == 6
        assert b"note of the maker" in metadata.exif
    else:
        assert metadata.exif == EXIF
    assert warnings == ()


def test_profile_xmp_resolution_and_description_of_a_tiff_are_read():
    exif = Image.Exif()
    exif.load(EXIF)
    exif[700] = XMP
    metadata, warnings = found_in(saved("TIFF", exif=exif, icc_profile=PROFILE, dpi=(300, 299.5)))
    assert (metadata.icc_profile, metadata.xmp, metadata.dpi) == (PROFILE, XMP, (300, 299.5))
    found = Image.Exif()
    found.load(metadata.exif)
    assert found[0x010F] == "ACME"
    assert found.get_ifd(0x8769)[0x927C] == b"note of the maker"
    assert warnings == ("the camera maker's note (EXIF) has to move, and its maker's software may not find all of it",)


@pytest.mark.parametrize(
    ("kind", "dpi", "expected"),
    [
        ("JPEG", (300, 299), (300, 299)),
        ("JPEG", None, None),
        ("PNG", (300, 299), (299.9994, 299.0088)),  # PNG stores whole dots per metre
        ("PNG", None, None),
        ("TIFF", (300, 299.5), (300, 299.5)),
        ("TIFF", None, None),
        ("BMP", (300, 299), (300, 299)),
        ("WEBP", None, None),
    ],
)
def test_the_resolution_comes_from_the_file_and_is_never_invented(kind, dpi, expected):
    metadata, _ = found_in(saved(kind, **({"dpi": dpi} if dpi else {})))
    if kind == "BMP" and dpi:  # whole dots per metre again
        assert metadata.dpi == pytest.approx(expected, abs=0.013)
    else:
        assert metadata.dpi == (pytest.approx(expected) if expected else None)


def test_a_jpeg_without_a_resolution_uses_that_of_its_exif():
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 240.0, 120.0, 2
    assert found_in(saved("JPEG", exif=exif))[0].dpi == (240, 120)
    data = saved("JPEG", exif=b"Exif\0\0" + EXIF)
    assert Image.open(io.BytesIO(data)).info["dpi"] == (72, 72)  # the control: Pillow invents a resolution
    assert found_in(data)[0].dpi is None


def test_png_text_keeps_its_order_and_repetitions_and_may_follow_the_pixels():
    chunks = (
        (b"tEXt", b"Author\0Ad\xe9"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"long " * 50)),
        (b"iTXt", "Titel\0\0\0de\0Überschrift\0Grüße".encode()),
        (b"iTXt", b"Packed\0\1\0\0\0" + zlib.compress("naïve".encode())),
        (b"tEXt", b"Author\0second"),
    )
    wanted = (
        ("Author", "Adé"),
        ("Comment", "long " * 50),
        ("Titel", "Grüße"),
        ("Packed", "naïve"),
        ("Author", "second"),
    )
    for late in (False, True):
        metadata, warnings = found_in(png_with(*chunks, late=late))
        assert metadata.text == wanted
        assert warnings == ("the language of the text Titel, or a translation of its keyword, is left out",)


def test_exif_and_xmp_after_the_pixels_turn_the_image():
    for chunk in ((b"eXIf", EXIF), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)):
        info, _ = read_header(io.BytesIO(png_with(chunk, late=True)))
        assert (info.height, info.width) == (37, 21)


def test_exif_in_imagemagick_text_is_read_as_exif():
    hidden = b"\nexif\n" + b"%8d" % (len(EXIF) + 6) + b"\n" + hexlify(b"Exif\0\0" + EXIF) + b"\n"
    metadata, _ = found_in(png_with((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hidden))))
    assert metadata.exif == EXIF
    assert metadata.text == ()
    metadata, _ = found_in(png_with((b"tEXt", b"Raw profile type exif\0not hexadecimal")))
    assert metadata.exif is None
    assert metadata.text == (("Raw profile type exif", "not hexadecimal"),)


def hidden_text(kind, data):
    """A text as ImageMagick and ExifTool hide metadata in it."""
    lines = b"\n".join(hexlify(data[at : at + 36]) for at in range(0, len(data), 36))
    text = b"\n%s\n%8d\n%s\n" % (kind, len(data), lines)
    return b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(text)


PACKET = b"http://ns.adobe.com/xap/1.0/\0"
CAPTION = b"\x1c\2\x50\0\3Ada"
RESOURCE = b"8BIM\4\4\0\0" + struct.pack(">I", len(CAPTION)) + CAPTION


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (hidden_text(b"xmp", XMP), {"xmp": XMP}),
        (hidden_text(b"APP1", PACKET + XMP), {"xmp": XMP}),
        (hidden_text(b"APP1", b"Exif\0\0" + EXIF), {"exif": EXIF}),
        (hidden_text(b"iptc", RESOURCE), {"iptc": CAPTION}),
        (hidden_text(b"8bim", RESOURCE), {"iptc": CAPTION}),
    ],
)
def test_metadata_hidden_in_png_text_are_read(chunk, expected):
    metadata, warnings = found_in(png_with(chunk))
    assert {name: getattr(metadata, name) for name in ("exif", "xmp", "iptc") if getattr(metadata, name)} == expected
    assert (metadata.text, warnings) == ((), ())


def test_the_orientation_in_hidden_xmp_is_applied():
    info, _ = read_header(io.BytesIO(png_with(hidden_text(b"xmp", XMP))))
    assert (info.height, info.width, info.orientation) == (37, 21, 6)


@pytest.mark.parametrize("other", [False, True])
def test_a_second_block_or_packet_of_a_png_is_reported_unless_it_is_the_same(other):
    exif, xmp = (EXIF + b"\0", XMP.replace(b"a=", b"b=")) if other else (EXIF, XMP)
    native = (b"eXIf", EXIF), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    hidden = hidden_text(b"exif", b"Exif\0\0" + exif), hidden_text(b"xmp", xmp)
    metadata, warnings = found_in(png_with(*hidden, *native))
    assert (metadata.exif, metadata.xmp, metadata.text) == (EXIF, XMP, ())
    reported = ("of 2 EXIF blocks one is kept", "of 2 XMP packets one is kept")
    assert warnings == (reported if other else ())


def test_the_same_captions_or_exif_twice_are_no_loss():
    """ImageMagick hides captions in two texts, and libvips writes Exif before and after the pixels."""
    twice = hidden_text(b"8bim", RESOURCE), hidden_text(b"iptc", CAPTION), (b"eXIf", EXIF), (b"eXIf", EXIF)
    metadata, warnings = found_in(png_with(*twice))
    assert (metadata.iptc, metadata.exif, metadata.text, warnings) == (CAPTION, EXIF, (), ())
    others = hidden_text(b"iptc", CAPTION.replace(b"Ada", b"Bob")), (b"eXIf", EXIF), (b"eXIf", EXIF + b"\0")
    metadata, warnings = found_in(png_with(hidden_text(b"8bim", RESOURCE), *others))
    assert (metadata.iptc, [keyword for keyword, _ in metadata.text]) == (CAPTION, ["Raw profile type iptc"])
    assert warnings == ("the eXIf chunk comes a second time and is left out",)


POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
PROPHOTO = (34567, 35850, 73470, 26530, 15960, 84040, 3660, 10)


@pytest.mark.parametrize(
    ("points", "is_sound"),
    [
        (PROPHOTO, True),
        ((*POINTS[:2], 64000, 33000, 21000, 71000, 15000, 6000), True),
        ((*POINTS[:2], *POINTS[2:4] * 3), False),  # red, green and blue are the same
        ((1, 1, *POINTS[2:]), False),
        ((31270, 5865604, *POINTS[2:]), False),
        ((*POINTS[:6], 2**31 - 1, 6000), False),
    ],
)
def test_chromaticities_of_no_colour_space_leave_an_image_that_decoders_read(tmp_path, points, is_sound):
    source, target = tmp_path / "a.png", tmp_path / "b.jxl"
    source.write_bytes(png_with((b"gAMA", struct.pack(">I", 55000)), (b"cHRM", struct.pack(">8I", *points))))
    assert bool(upsample_file(source, target).warnings) == (not is_sound)
    assert jpegxl_decode(target.read_bytes()).shape == (42, 74, 3)
    colour = read_header(target)[1].colour
    assert (colour is not None and colour.chromaticities == points) == is_sound


def riff_chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def test_a_second_chunk_of_exif_or_xmp_in_a_webp_is_reported():
    data = saved("WEBP", exif=b"Exif\0\0" + EXIF, xmp=XMP, lossless=True)
    assert found_in(data)[1] == ()
    data += riff_chunk(b"EXIF", EXIF) + riff_chunk(b"XMP ", XMP)
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    metadata, warnings = found_in(data)
    assert (metadata.exif, metadata.xmp) == (EXIF, XMP)
    assert warnings == ("chunks that we do not keep are left out (EXIF, XMP)",)


def test_text_that_is_not_utf_8_is_not_changed_silently():
    damaged = XMP.replace(b"\xc3\xa9", b"\xe9")
    metadata, warnings = found_in(png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + damaged)))
    assert (metadata.xmp, warnings) == (None, ("the XMP is damaged and is left out",))
    assert found_in(png_with((b"iTXt", b"Author\0\0\0\0\0Ad\xe9")))[0].text == (("Author", "Ad\xe9"),)


def test_a_chunk_with_a_wrong_checksum_after_the_pixels_is_ignored():
    data = png_with((b"tEXt", b"Author\0Ada"), late=True)
    assert found_in(data)[0].text == (("Author", "Ada"),)
    assert found_in(data.replace(b"\0Ada", b"\0Bob"))[0].text == ()


@pytest.mark.parametrize(("kind", "settings"), [("JPEG", {"comment": "naïve".encode()}), ("GIF", {"comment": b"hi"})])
def test_comments_of_jpeg_and_gif_are_text(kind, settings):
    metadata, _ = found_in(saved(kind, **settings))
    assert metadata.text == (("Comment", settings["comment"].decode()),)


@pytest.mark.parametrize("damage", [EXIF[:20], b"II*\0\xff\xff\0\0" + EXIF[8:], b"rubbish"])
def test_damaged_exif_is_left_out_with_a_loss(damage):
    metadata, warnings = found_in(png_with((b"eXIf", damage)))
    assert metadata.exif is None
    assert warnings == ("the EXIF block is damaged and is left out",)


def test_losses_while_reading_are_reported():
    assert found_in(saved("JPEG", xmp=b'<x xmpNote:HasExtendedXMP="0123"/>'))[1] == (
        "only the main part of the XMP is kept, not its extension",
    )
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", 4) + b"\x1c\x02\x00\x00"
    data = saved("JPEG")
    data = data[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + data[2:]
    metadata, warnings = found_in(data)
    assert (metadata.iptc, warnings) == (b"\x1c\x02\x00\x00", ())


def test_output_metadata_is_upright_and_has_the_new_size():
    before = Metadata(PROFILE, EXIF, XMP, (300, 299.5), (("Author", "Ada"),))
    after = metadata_for_output(before, 74, 42)
    exif = Image.Exif()
    exif.load(after.exif)
    assert exif[0x0112] == 1
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == (42, 74)
    assert after.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    assert (after.icc_profile, after.dpi, after.text) == (before.icc_profile, before.dpi, before.text)
    assert metadata_for_output(Metadata(), 74, 42) == Metadata()


def test_orientation_in_xmp_elements_is_reset_too():
    xmp = b"<tiff:Orientation>8</tiff:Orientation>"
    assert metadata_for_output(Metadata(xmp=xmp), 1, 1).xmp == b"<tiff:Orientation>1</tiff:Orientation>"
