"""The format of a file by its first bytes, in particular for formats that share the container of AVIF."""

import pytest
from support.corpus import good_files

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.content import HEAD_BYTES, format_of_content


def ftyp(major, *others, behind=b""):
    brands = b"".join(other.encode() for other in others)
    return (16 + len(brands)).to_bytes(4, "big") + b"ftyp" + major.encode() + bytes(4) + brands + behind


def item(kind):
    return b"\0\0\0\x15infe\x02\0\0\0\0\x01\0\0" + kind + b"\0"


@pytest.mark.parametrize(
    "head",
    [
        ftyp("avif", "avif", "mif1"), ftyp("avis", "avis"), ftyp("mif1", "mif1", "avif"), ftyp("msf1", "avis", "msf1"),
        ftyp("mif1", "miaf", behind=item(b"av01")), good_files()["avif"][:HEAD_BYTES],
    ],
)  # fmt: skip
def test_avif_is_recognized_by_any_of_its_brands(head):
    assert format_of_content(head, "a").name == "avif"


@pytest.mark.parametrize(
    "head",
    [
        ftyp("heic", "mif1", "heic"), ftyp("mif1", "mif1", "heic"), ftyp("mif1", "miaf", behind=item(b"hvc1")),
        ftyp("hevx"), ftyp("msf1", "hevc"),
    ],
)  # fmt: skip
def test_heic_is_recognized_by_its_brands_or_items(head):
    assert format_of_content(head, "a").name == "heic"


@pytest.mark.parametrize(
    ("head", "title", "next_step"),
    [
        (ftyp("mif1"), "HEIF", "convert"),
        (ftyp("mif1", "jpeg"), "HEIF with JPEG", "convert"), (ftyp("crx ", "isom"), "CR3", "develop"),
        (ftyp("isom", "iso2", "avc1", "mp41"), "MP4", "ffmpeg"), (ftyp("qt  ", "qt  "), "QuickTime", "ffmpeg"),
        (ftyp("mp42", "isom"), "MP4", "ffmpeg"), (ftyp("zzzz"), "'zzzz'", "check the file"),
        (ftyp("jp2 "), "2000", "PNG"),
    ],
)  # fmt: skip
def test_formats_related_to_avif_are_refused_by_name(head, title, next_step):
    with pytest.raises(ImageError, match=title) as caught:
        format_of_content(head, "a")
    failure = caught.value.failure
    assert failure.kind == "unsupported"
    assert "damaged" not in str(failure)
    assert next_step in str(failure.next_step)
