"""Comments of GIF and PNM, from and to bytes built by hand."""

import io
import time
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.open import read_header

pytestmark = pytest.mark.usefixtures("in_tmp_path")

RGB = bytes([200, 40, 40] * 6)
PPM = b"P6\n# Created by hand\n3 # wide\n2\n255\n" + RGB
PAM = b"P7\n# Created by hand\n# wide\nWIDTH 3\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + RGB
TEXT = "Created by hand\nwide"


def remark(text):
    """A comment extension of a GIF, in sub-blocks of 255 bytes."""
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
    return b"!\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def gif(before=b"", after=b""):
    """A GIF of one pixel with extensions before and after its frame."""
    head = b"GIF89a\1\0\1\0\x80\0\0" + bytes([10, 20, 30, 40, 50, 60])
    return head + before + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0" + after + b";"


def text_of(data):
    return read_header(io.BytesIO(data))[1].text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (gif(), None),
        (gif(remark(b"first")), "first"),
        (gif(after=remark(b"last")), "last"),
        (gif(remark(b"first") + remark(b"caf\xe9"), remark(b"first") + remark(b"last")), "first\ncaf\xe9\nlast"),
        (gif(remark(b"long " * 200)), "long " * 200),
        (gif(remark(b"")), None),
    ],
)
def test_every_comment_of_a_gif_is_read(data, expected):
    with Image.open(io.BytesIO(data)) as image:
        assert image.getpixel((0, 0)) == 0  # the frame is valid
    assert text_of(data) == ((("Comment", expected),) if expected else ())


@pytest.mark.parametrize("source", ["a.ppm", "a.pam"])
def test_comments_in_the_header_of_a_pnm_are_kept_or_reported(source):
    Path(source).write_bytes({"a.ppm": PPM, "a.pam": PAM}[source])
    assert upsample_file(source, "b.jpg").warnings == ()
    with Image.open("b.jpg") as image:
        assert image.info["comment"] == TEXT.encode()
    assert upsample_file(source, "b.png").warnings == ()
    with Image.open("b.png") as image:
        assert image.text == {"Comment": TEXT}
    assert upsample_file(source, "b.ppm").warnings == ()
    assert Path("b.ppm").read_bytes().startswith(b"P6\n# Created by hand\n# wide\n6 4\n255\n")
    assert upsample_file(source, "b.pam").warnings == ()
    assert Path("b.pam").read_bytes().startswith(b"P7\n# Created by hand\n# wide\nWIDTH 6\n")
    assert upsample_file(source, "b.bmp").warnings == ("BMP cannot hold the text Comment; it is left out",)


def test_a_pnm_without_comments_gets_none():
    """A sign after the header is a pixel."""
    Path("a.ppm").write_bytes(b"P6\n2 1\n255\n###\n##")
    upsample_file("a.ppm", "b.ppm")
    assert Path("b.ppm").read_bytes().startswith(b"P6\n4 2\n255\n")


def test_a_pnm_with_the_longest_comment_is_read_again():
    """The limit does not count the marks of comments: an empty line takes three bytes instead of one."""
    text = PngInfo()
    text.add_text("Comment", "\n" * 19999 + "x")
    Image.new("RGB", (1, 1)).save("a.png", pnginfo=text)
    assert upsample_file("a.png", "b.ppm").warnings == ()
    assert Path("b.ppm").stat().st_size > 3 * 19999
    assert text_of(Path("b.ppm").read_bytes()) == (("Comment", "x"),)


def test_repeated_and_empty_lines_of_a_pnm_are_kept():
    lines = ["by Ada", "", "draft", "by Ada"]
    data = "".join(f"# {line}\n" for line in ["", *lines, ""]).encode()
    assert text_of(b"P5\n" + data + b"1 1\n255\n\0") == (("Comment", "\n".join(lines)),)


def test_a_large_comment_of_a_gif_is_read_in_linear_time():
    started = time.process_time()
    assert text_of(gif(remark(b"x" * 10_000_000))) == (("Comment", "x" * 10_000_000),)
    assert time.process_time() - started < 10
