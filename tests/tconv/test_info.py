"""`tconv info`: every fact compared with the contents of the file, and every loss with the warnings of upsample."""

import io
import json
import subprocess
import sys

import pytest
from PIL import Image, ImageOps
from support.corpus import HEIGHT, ICC, WIDTH, XMP, exif, good_files
from support.facts import lines
from support.running import ENVIRONMENT, save, upsample

from upsample_cli.cli import tconv
from upsample_cli.errors import ImageError
from upsample_cli.images.about import about_image
from upsample_cli.images.formats import FORMATS

pytestmark = pytest.mark.usefixtures("in_tmp_path")

GOOD = good_files()
COMMAND = [sys.executable, "-c", "from upsample_cli.cli.tconv import main; main()", "info"]


def document(name, *arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tconv", "info", str(name), "--json", *arguments])
    with pytest.raises(SystemExit) as leaving:
        tconv.main()
    assert leaving.value.code == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_info_reports_the_contents_of_the_file(kind, tmp_path, capsys, monkeypatch):
    data = GOOD[f"{kind} full"]
    (tmp_path / "an image").write_bytes(data)
    found = document("an image", capsys=capsys, monkeypatch=monkeypatch)
    assert found["format"] == kind
    assert (found["width"], found["height"]) == (HEIGHT, WIDTH)  # the file is stored on its side: orientation 6
    assert (found["orientation"], found["size_bytes"], found["frames"]) == (6, len(data), 1)
    assert (found["depth"], found["colour"], found["alpha"]) == (8, "rgb", kind == "png")
    assert (found["icc"], found["camera"]) == ("sRGB built-in", "Maker")
    assert found["xmp_bytes"] == (len(XMP) if kind in {"jpeg", "webp"} else 0)
    assert found["exif_bytes"] > 0
    if kind != "tiff":  # Pillow writes its own TIFF without the Exif directory
        assert found["date"] == "2026:11:21 13:00:00"
    if kind in {"jpeg", "png", "tiff"}:
        assert found["dpi"] == pytest.approx([300, 300], abs=0.02)  # PNG stores whole dots per metre
    assert dict(found["text"]) == {"jpeg": {"Comment": "remark"}, "png": {"Title": "A title", "Comment": "多"}}.get(
        kind, {}
    )


def test_control_other_files_give_other_facts(tmp_path, capsys, monkeypatch):
    (tmp_path / "bare.jpg").write_bytes(GOOD["jpeg cmyk"])
    found = document("bare.jpg", capsys=capsys, monkeypatch=monkeypatch)
    assert (found["colour"], found["orientation"], found["icc"]) == ("cmyk", 1, None)
    assert (found["camera"], found["date"], found["dpi"], found["text"]) == (None, None, None, [])
    (tmp_path / "many.png").write_bytes(GOOD["png animated"])
    assert document("many.png", capsys=capsys, monkeypatch=monkeypatch)["frames"] == 3
    (tmp_path / "deep.tif").write_bytes(GOOD["tiff float"])
    assert document("deep.tif", capsys=capsys, monkeypatch=monkeypatch)["depth"] == 32


@pytest.mark.parametrize("name", ["png full", "tiff pages", "jpeg full"])
def test_losses_equal_the_warnings_of_upsample(name, tmp_path, capsys, monkeypatch):
    (tmp_path / "a").write_bytes(GOOD[name])
    offers = document("a", "-f", "3", capsys=capsys, monkeypatch=monkeypatch)["outputs"]
    assert set(offers) == set(FORMATS)
    for kind, offer in offers.items():
        (planned,) = upsample("a", "-n", "--json", "-f", "3", "-o", f"out.{kind}", "--format", kind).document["files"]
        assert (planned["output_width"], planned["output_height"]) == (offer["width"], offer["height"])
        assert [line for line in planned["warnings"] if line in offer["loses"]] == offer["loses"]
    assert offers["gif"]["loses"]
    assert offers["gif"]["loses"] != offers["png"]["loses"]


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("webp full", {"jpeg": 95, "webp": 95, "avif": 90, "jxl": 90}),
        ("webp lossless", {"jpeg": 95, "avif": 90}),  # WebP and JPEG XL store a lossless input losslessly
        ("jpeg cmyk", {"jpeg": 95, "webp": 95, "avif": 90, "jxl": 90}),
    ],
)
def test_the_loss_of_lossy_encoding_is_stated_only_if_it_applies(name, taken, tmp_path, capsys, monkeypatch):
    (tmp_path / "a").write_bytes(GOOD[name])
    offers = document("a", capsys=capsys, monkeypatch=monkeypatch)["outputs"]
    assert {kind: offer["quality"] for kind, offer in offers.items() if offer["quality"] is not None} == taken
    rows = process("a").stdout.decode().splitlines()
    for title, kind in (("│ JPEG", "jpeg"), ("│ WebP", "webp"), ("│ PNG", "png"), ("│ TIFF", "tiff")):
        row = next(row for row in rows if row.startswith(title))
        lost = offers[kind]["loses"]
        assert ("only what its coding takes at quality 95" in row) == (kind in taken and not lost)
        assert ("nothing" in row) == (kind not in taken and not lost)


@pytest.mark.parametrize(("name", "is_exact"), [("webp lossless", True), ("webp full", False)])
def test_the_stated_quality_is_the_one_that_is_written(name, is_exact, tmp_path):
    """The stated quality compared with the pixels: at factor 1 only the encoding changes them."""
    (tmp_path / "a.webp").write_bytes(GOOD[name])
    upsample("a.webp", "-f", "1", "-o", "b.webp")
    with Image.open("a.webp") as before, Image.open("b.webp") as after:
        turned = ImageOps.exif_transpose(before)
        assert (turned.convert("RGBA").tobytes() == after.convert("RGBA").tobytes()) == is_exact


def test_size_limits_depend_on_the_factor(capsys, monkeypatch):
    save("a.png", (8, 9000))
    for factor, refused in ((1, set()), (2, {"webp"}), (4, {"webp", "avif"}), (8, {"webp", "avif", "jpeg", "gif"})):
        offers = document("a.png", "--factor", str(factor), capsys=capsys, monkeypatch=monkeypatch)["outputs"]
        assert {name for name, offer in offers.items() if offer["refused"]} == refused
    assert "at most 16383 pixels a side, not 72000×64; write PNG or TIFF" in offers["webp"]["refused"]


def test_a_damaged_profile_and_damaged_exif_are_reported_without_an_error():
    file = io.BytesIO()
    Image.new("RGB", (5, 3)).save(file, "JPEG", icc_profile=b"\xff" * 300, exif=exif()[:40])
    about = about_image(file, factor=2, max_pixels=100)
    assert about.icc_description == "damaged"
    assert about.camera is None
    assert "the EXIF block is damaged and is left out" in lines(about.info.losses)
    file = io.BytesIO()
    Image.new("RGB", (5, 3)).save(file, "JPEG", icc_profile=ICC, exif=exif())
    about = about_image(file, factor=2, max_pixels=100)
    assert (about.icc_description, about.camera) == ("sRGB built-in", "Maker")
    with pytest.raises(ImageError, match="more than the limit of 14"):
        about_image(file, factor=2, max_pixels=14)


def process(*arguments, **settings):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, check=False, env=ENVIRONMENT, **settings)


def test_info_reads_a_pipe_and_does_not_import_torch():
    data = save("a [b].png", (7, 13)).read_bytes()
    done = process("-", input=data)
    assert done.returncode == 0
    assert "13x7 in" in done.stdout.decode()
    assert process("a [b].png").stdout.decode().startswith("a [b].png\n")
    program = COMMAND[2].replace("main()", "sys.argv[1:] = ['info', 'a [b].png']; main()")
    watched = f"import sys, atexit; atexit.register(lambda: print('torch' in sys.modules)); {program}"
    done = subprocess.run([sys.executable, "-c", watched], capture_output=True, check=False, text=True, env=ENVIRONMENT)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.png"], 1, "missing.png: no such file"),
        (["text"], 1, "text: is not an image in a format we know"),
        (["text", "--factor", "65"], 2, "--factor 65 is not a whole number from 1 to 64; give --factor 2"),
        (["text", "--max-pixels", "many"], 2, "--max-pixels"),
    ],
)
def test_invalid_calls_of_info_are_one_line(arguments, status, message, tmp_path):
    (tmp_path / "text").write_text("Dear diary")
    done = process(*arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
