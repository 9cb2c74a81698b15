"""`--gallery`: one file without external resources; before and after at the same size, checked in a browser."""

import base64
import errno
import io
import os
import re
import stat
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.browser import CHROMIUM, needs_browser
from support.running import names, pixels_of, save, upsample

from upsample_cli.atomic.files import new_file
from upsample_cli.cli.report import gallery
from upsample_cli.cli.report.summary import Summary
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import ImageError
from upsample_cli.images import preview

pytestmark = pytest.mark.usefixtures("in_tmp_path")

VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """The elements of a page; fails if an element is not closed in order."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.images, self.text = [], [], [], ""
        self.feed(Path(path).read_bytes().decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open[-1:] != ["style"] else ""


def decoded(image):
    kind, data = image["src"].split(",", 1)
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
        return np.array(opened)


def make(*arguments, inputs="in"):
    ended = upsample(inputs, "-o", "out/", "--gallery", "g.html", *arguments)
    return ended, Page("g.html")


def test_before_and_after_show_the_pixels_of_the_files_at_the_same_size():
    save("in/a.png", (131, 211), seed=3)
    ended, page = make("-f", "3")
    assert ended.status == 0
    _, before, after = page.images
    assert (before["width"], before["height"]) == (after["width"], after["height"]) == ("288", "288")
    small, detail, large = map(decoded, page.images)
    assert small.shape == (131, 211, 3)
    assert detail.shape == (96, 96, 3)
    assert large.shape == (288, 288, 3)
    mark = next(attrs["style"] for tag, attrs in page.tags if tag == "span")
    left, top = (float(re.search(rf"{side}: ([\d.]+)%", mark)[1]) / 100 for side in ("left", "top"))
    x, y = round(left * 211), round(top * 131)
    assert np.array_equal(detail, pixels_of("in/a.png")[y : y + 96, x : x + 96])
    whole = pixels_of("out/a_x3.png")
    assert np.array_equal(large, whole[3 * y : 3 * y + 288, 3 * x : 3 * x + 288])
    assert not np.array_equal(large, whole[3 * y + 1 : 3 * y + 289, 3 * x : 3 * x + 288])  # the control
    assert all(image["alt"].startswith("in/a.png, ") and image["loading"] == "lazy" for image in page.images)


def test_the_detail_shows_the_busiest_part():
    pixels = np.full((300, 411, 3), 128, np.uint8)
    pixels[200:240, 300:340] = np.random.default_rng(1).integers(0, 256, (40, 40, 3))
    Path("in").mkdir()
    Image.fromarray(pixels).save("in/a.png")
    make()
    shown = preview.preview(Path("in/a.png"), Path("out/a_x2.png"), (600, 822))
    top, left, height, width = shown.detail
    assert left <= 300
    assert left + width >= 340
    assert top <= 240
    assert top + height >= 200


NASTY = ["<script>alert(1)<script>.png", "a&amp;b'\"c.png", "<img src=x onerror=alert(1)>.png", "new\nline\x1b[31m.png"]


def test_names_are_escaped_and_the_page_loads_nothing():
    for seed, name in enumerate(NASTY):
        save(f"in/{name}", (17, 11), seed=seed)
    Path("in/<b>bad.png").touch()
    ended, page = make()
    assert ended.status == 1
    tags = {tag for tag, _ in page.tags}
    assert tags <= {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "ul",
                    "li", "p", "pre", "article", "div", "figure", "figcaption", "span", "img"}  # fmt: skip
    assert sum(tag == "article" for tag, _ in page.tags) == len(NASTY)
    for name in NASTY[:3]:
        assert name in page.text
    assert "new\\nline\\x1b[31m.png" in page.text
    assert "in/<b>bad.png: is empty" in page.text
    loaded = [value for _, attrs in page.tags for key, value in attrs.items() if key in {"src", "href", "srcset"}]
    assert loaded
    assert all(value.startswith("data:") for value in loaded)
    policy = next(attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs)
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_image_is_shown(mode):
    save("in/a.tif" if mode in ("CMYK", "I;16") else "in/a.png", (23, 31), mode)
    _, page = make("-f", "2")
    assert len(page.images) == 3
    assert decoded(page.images[2]).shape[:2] == (46, 46)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_images_of_one_pixel_or_one_line_are_shown(size):
    save("in/a.png", size)
    _, page = make("-f", "2")
    _, before, after = page.images
    assert (before["width"], before["height"]) == (after["width"], after["height"])
    assert int(after["width"]) >= 96


def test_the_limits_of_the_page_are_kept_and_stated(monkeypatch):
    monkeypatch.setattr(gallery, "MAX_GALLERY_IMAGES", 3)
    monkeypatch.setattr(gallery, "MAX_FAILURES", 2)
    for index in range(5):
        save(f"in/{index}.png")
    for index in range(4):
        Path(f"in/bad{index}.png").touch()
    _, page = make()
    assert len(page.images) == 9
    assert "2 more images are not shown: a page holds 3." in page.text
    assert "2 more failures are not listed: a page holds 2." in page.text


def test_a_resumed_run_also_shows_images_finished_earlier():
    save("in/a.png")
    upsample("in", "-o", "out/")
    save("in/b.png")
    _, page = make()
    assert len(page.images) == 6
    assert "skipped" in page.text


def page_of(image, output, shape, output_shape):
    """The page of a run that reports one written image, whatever the files contain."""
    with gallery.Gallery(Path("g.html"), Options()) as page:
        page.add(Result(Path(image), Path(output), "written", *shape, *output_shape))
        assert page.write(Summary(), 1.0) is None
    return Page("g.html")


def test_an_output_of_another_size_or_too_large_is_not_shown(monkeypatch):
    save("in/a.png")
    save("out/a_x2.png", (5, 5))
    page = page_of("in/a.png", "out/a_x2.png", (6, 7), (12, 14))
    assert page.images == []
    assert "out/a_x2.png: is not the enlarged in/a.png" in page.text
    monkeypatch.setattr(preview, "MAX_PIXELS", 20)
    with pytest.raises(ImageError, match="too large to be shown here"):
        preview.preview(Path("in/a.png"), Path("out/a_x2.png"), (5, 5))


def test_an_existing_page_is_replaced_only_on_request():
    save("in/a.png")
    Path("g.html").write_text("mine")
    ended = upsample("in", "-o", "out/", "--gallery", "g.html")
    assert (ended.status, Path("g.html").read_text()) == (2, "mine")
    message = "upsample: g.html exists already; give --gallery another name, or add --overwrite\n"
    assert ended.err == message
    assert not Path("out/a_x2.png").exists()
    assert make("--overwrite")[0].status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in", "--gallery", "in"), "in: is a folder; give --gallery another name"),
        (
            ("in", "--gallery", "g.png"),
            "--gallery g.png has the name of a PNG file, and is not one; give it another",
        ),
        (
            ("in", "--gallery", "in/a.png/g.html"),
            "in/a.png/g.html: cannot be written: a part of its path is not a folder",
        ),
        (("in", "--gallery", "g.html", "-n"), "--gallery writes a file, and --dry-run writes nothing; use --json"),
        (("-", "-o", "o.png", "--gallery", "g.html"), "--gallery shows files, and - is not a file; name files"),
    ],
)
def test_an_invalid_gallery_ends_the_run_before_the_first_pixel(arguments, message):
    save("in/a.png")
    ended = upsample(*arguments)
    assert ended.status == 2
    assert ended.err.startswith(f"upsample: {message}")
    assert names(".") == ["in/a.png"]


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_before_and_after_side_by_side_at_the_same_size(tmp_path, scheme):
    """Checked in a screenshot: red before, green after, nothing else in these colours. No script has run."""
    red, green = (200, 16, 16), (16, 160, 16)
    Path("in").mkdir()
    Image.new("RGB", (120, 110), red).save("in/<script>document.body.remove()<script>.png")
    upsample("in", "-o", "out/")
    (made,) = Path("out").glob("*.png")
    Image.new("RGB", (240, 220), green).save(made)  # so that the screenshot shows which is which
    page = page_of(*Path("in").glob("*.png"), made, (110, 120), (220, 240))
    assert len(page.images) == 3
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,700",
        f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
        "--screenshot=seen.png", str(tmp_path / "g.html"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    seen = pixels_of("seen.png", "RGB").astype(int)
    boxes = []
    for colour in (red, green):
        rows, columns = np.nonzero((abs(seen - colour) <= 2).all(axis=2))
        right = columns > 160  # the overview is red too: 120 pixels, at the left margin of 24
        rows, columns = rows[right], columns[right]
        boxes.append((rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1))
        assert len(rows) == boxes[-1][2] * boxes[-1][3]  # filled, and nothing else has this colour
    (top, left, *size), (after_top, after_left, *after_size) = boxes
    assert size == after_size == [192, 192]
    assert top == after_top
    assert left + 192 < after_left
    assert seen[-1, -1].mean() > 250 if scheme == "light" else seen[-1, -1].mean() < 60


POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX links and permissions")


@POSIX
@pytest.mark.parametrize("state", [(), ("--no-state",)])
def test_the_target_of_a_link_at_an_output_name_is_not_shown(state):
    save("in/a.png", (40, 40))
    save("in/b.png", (40, 40))
    save("private.png", (80, 80), seed=9).chmod(0o600)
    Path("out").mkdir()
    Path("out/a_x2.png").symlink_to("../private.png")
    _, page = make(*state)
    assert len(page.images) == 3
    assert all(image["alt"].startswith("in/b.png") for image in page.images)


@POSIX
def test_a_link_that_replaces_an_output_before_it_is_shown_is_not_followed(monkeypatch):
    save("in/a.png", (40, 40))
    save("private.png", (80, 80), seed=9).chmod(0o600)
    make_shown = gallery.Gallery._make

    def make_late(self, result):
        Path("out/a_x2.png").unlink()
        Path("out/a_x2.png").symlink_to("../private.png")
        make_shown(self, result)

    monkeypatch.setattr(gallery.Gallery, "_make", make_late)
    _, page = make()
    assert page.images == []
    assert "out/a_x2.png: is a symbolic link, which is not followed" in page.text


@POSIX
@pytest.mark.parametrize("private", ["in/a.png", "out/a_x2.png"])
def test_a_page_is_not_more_readable_than_any_image_on_it(private):
    save("in/a.png", (40, 40))
    upsample("in", "-o", "out/")
    before = os.umask(0o022)
    try:
        make()
        assert stat.S_IMODE(Path("g.html").stat().st_mode) == 0o644
        Path("g.html").unlink()
        status = Path(private).stat()
        Path(private).chmod(0o600)
        os.utime(private, ns=(status.st_atime_ns, status.st_mtime_ns))
        _, page = make()
    finally:
        os.umask(before)
    assert len(page.images) == 3
    assert stat.S_IMODE(Path("g.html").stat().st_mode) == 0o600


def test_an_existing_output_is_shown_only_if_the_record_knows_it():
    save("in/a.png", (40, 40))
    upsample("in", "-o", "out/")
    _, page = make("--no-state")
    assert page.images == []
    assert "out/a_x2.png: is not shown: it was there before, and the record does not know it" in page.text
    Path("g.html").unlink()
    _, page = make()
    assert len(page.images) == 3


@POSIX
def test_a_link_that_replaces_the_page_at_the_last_moment_is_not_followed(monkeypatch):
    save("in/a.png")
    Path("mine.html").write_text(gallery.gallery_page.START + "mine")
    make()

    def late(path, **settings):
        if Path("g.html").is_file() and settings.get("sources"):
            Path("g.html").unlink()
            Path("g.html").symlink_to("mine.html")
        return new_file(path, **settings)

    monkeypatch.setattr(gallery, "new_file", late)
    ended = upsample("in", "-o", "out/", "--gallery", "g.html")
    assert ended.status == 1
    assert ended.errors[0].startswith("g.html: is a symbolic link, which is neither followed nor replaced")
    assert Path("mine.html").read_text().endswith("mine")


def test_a_page_that_cannot_be_written_at_the_end_is_an_error_about_the_page(monkeypatch):
    save("in/a.png")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gallery.shutil, "copyfileobj", full)
    ended = upsample("in", "-o", "out/", "--gallery", "g.html")
    assert ended.status == 1
    assert ended.errors == ["g.html: cannot be written: the disk is full; give --gallery another name"]
    assert not Path("g.html").exists()
