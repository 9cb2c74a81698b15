"""The images that `upsample` writes: exact to the last pixel on any machine, with their metadata."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from support.running import names, pixels_of, save, tree, upsample, upsample_process

pytestmark = pytest.mark.usefixtures("in_tmp_path")

EXIF_ORIENTATION, EXIF_MAKE, EXIF_IFD, EXIF_WIDTH, EXIF_HEIGHT = 0x0112, 0x010F, 0x8769, 0xA002, 0xA003


def save_all_kinds(folder):
    """Save a PNG or JPEG of every kind; {name: (mode to decode it in or None, whether that mode has alpha)}."""
    for mode in ("L", "RGB", "RGBA", "LA", "1", "I;16"):
        save(f"{folder}/{mode.replace(';', '')}.png", (13, 19), mode)
    save(f"{folder}/P.png", (13, 19), "P")
    save(f"{folder}/PtRNS.png", (13, 19), "P", transparency=bytes([255, 0, 128, 7, 255, 254, 1]))
    save(f"{folder}/tRNS.png", (13, 19), "RGB", transparency=(255, 0, 0))
    for orientation in range(1, 9):
        save(f"{folder}/turned{orientation}.jpg", (13, 19), exif=exif_block(orientation), seed=orientation)
    alpha = {"RGBA.png": "RGBA", "PtRNS.png": "RGBA", "tRNS.png": "RGBA", "LA.png": "LA"}
    modes = {"L.png": "L", "1.png": "L", "I16.png": None} | alpha
    return {name: (modes.get(name, "RGB"), name in alpha) for name in names(folder)}


def exif_block(orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION], exif[EXIF_MAKE] = orientation, "Camera"
    exif.get_ifd(EXIF_IFD)[EXIF_WIDTH] = 19
    exif.get_ifd(EXIF_IFD)[EXIF_HEIGHT] = 13
    return exif.tobytes()


def upright(path, mode):
    with Image.open(path) as image:
        turned = ImageOps.exif_transpose(image)
        pixels = np.array(turned if mode is None else turned.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def check_exact(kinds, folder, outputs, factor):
    for name, (mode, has_alpha) in kinds.items():
        expected = expected_pixels(upright(f"{folder}/{name}", mode), factor, has_alpha=has_alpha)
        found = pixels_of(f"{outputs}/{Path(name).stem}_x{factor}.png")
        assert_same_pixels(found, expected)


def test_every_kind_of_image_is_exact():
    """In a new process, as a user runs it: PNG and JPEG in, PNG out, decoded by Pillow."""
    kinds = save_all_kinds("in")
    assert len(kinds) == 17
    ended = upsample_process("in", "-o", "out", "--format", "png")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.split()[:2] == ["written", "17"]
    assert names("out") == sorted(f"{Path(name).stem}_x2.png" for name in kinds)
    check_exact(kinds, "in", "out", 2)
    for wrong in ({"PtRNS.png": ("RGBA", False)}, {"LA.png": ("LA", False)}, {"RGB.png": ("L", False)}):
        with pytest.raises(AssertionError):  # the control: alpha not premultiplied, colour lost
            check_exact(wrong, "in", "out", 2)


@pytest.mark.parametrize("factor", [1, 3, 5])
def test_every_kind_of_image_is_exact_at_odd_factors(factor):
    kinds = save_all_kinds("in")
    assert upsample("in", "-o", "out", "--format", "png", "-f", factor).status == 0
    check_exact(kinds, "in", "out", factor)


def test_a_photograph_is_turned_upright_once():
    """The control: the stored image, before it is turned, differs."""
    save("a.jpg", (13, 19), exif=exif_block(6))
    assert upsample("a.jpg", "--format", "png").status == 0
    found = pixels_of("a_x2.png")
    assert found.shape == (38, 26, 3)
    assert_same_pixels(found, expected_pixels(upright("a.jpg", "RGB"), 2))
    stored = expected_pixels(pixels_of("a.jpg", "RGB"), 2)
    assert stored.shape != found.shape
    with Image.open("a_x2.png") as image:
        assert image.getexif()[EXIF_ORIENTATION] == 1
    assert upsample("a_x2.png").status == 0
    assert pixels_of("a_x2_x2.png").shape == (76, 52, 3)


SETTINGS = [
    ("--tile", 5), ("--tile", 64), ("--tile", 10_000),
    ("--memory", "1M"), ("--memory", "2GiB"),
    ("--workers", 1), ("--workers", 16),
    ("--device", "cpu"), ("--workers", 3, "--memory", "400k", "--tile", 31),
]  # fmt: skip


def test_tiles_memory_and_workers_never_change_a_byte():
    """The images need several bands and tiles with each setting. The control: another border changes every file."""
    for index, mode in enumerate(("RGB", "RGBA", "L", "I;16")):
        save(f"in/{index}.png", (61, 257), mode)
    assert upsample("in", "-o", "default/", "-f", 3).status == 0
    default = tree("default")
    assert len(default) == 4
    for number, setting in enumerate(SETTINGS):
        ended = upsample("in", "-o", f"{number}/", "-f", 3, *setting)
        assert (ended.status, ended.err) == (0, ""), setting
        assert tree(str(number)) == default, setting
    assert upsample("in", "-o", "zeros/", "-f", 3, "--border", "zeros").status == 0
    assert all(tree("zeros")[name] != content for name, content in default.items())


@pytest.mark.parametrize(
    ("options", "oracle"),
    [
        (("--border", "zeros"), {"border": "zeros"}),
        (("--border", "reflect"), {"border": "reflect"}),
        (("--border", "wrap"), {"border": "wrap"}),
        (("--kernel", "nearest"), {"kernel": "nearest"}),
        (("--alpha", "straight"), {"has_alpha": False}),
    ],
)
def test_pixel_options_take_effect(options, oracle):
    save("a.png", (7, 9), "RGBA")
    assert upsample("a.png", *options).status == 0
    before = pixels_of("a.png")
    expected = expected_pixels(before, 2, **{"has_alpha": True, **oracle})
    assert_same_pixels(pixels_of("a_x2.png"), expected)
    assert not np.array_equal(expected, expected_pixels(before, 2, has_alpha=True))


def test_quality_reaches_the_encoder():
    save("a.png", (200, 300))
    sizes = {}
    for quality in (20, 95):
        assert upsample("a.png", "-o", f"{quality}.jpg", "--quality", quality).status == 0
        sizes[quality] = Path(f"{quality}.jpg").stat().st_size
    assert sizes[20] * 2 < sizes[95]
    for level in (0, 9):
        assert upsample("a.png", "-o", f"{level}.png", "--quality", level).status == 0
    assert Path("9.png").stat().st_size < Path("0.png").stat().st_size
    assert_same_pixels(pixels_of("9.png"), pixels_of("0.png"))


# Metadata ----------------------------------------------------------------------------------------------------------

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def metadata(path):
    with Image.open(path) as image:
        exif = image.getexif()
        ifd = exif.get_ifd(EXIF_IFD)
        return {
            "icc": image.info.get("icc_profile"),
            "dpi": tuple(round(value) for value in image.info.get("dpi", ())),
            "make": exif.get(EXIF_MAKE),
            "orientation": exif.get(EXIF_ORIENTATION),
            "size": (ifd.get(EXIF_HEIGHT), ifd.get(EXIF_WIDTH)),
        }


@pytest.mark.parametrize(
    ("source", "target"), [("a.jpg", "b.jpg"), ("a.png", "b.png"), ("a.jpg", "b.png"), ("a.png", "b.jpg")]
)
def test_profile_resolution_and_exif_are_kept_and_the_orientation_is_reset(source, target):
    save(source, (13, 19), icc_profile=PROFILE, dpi=(300, 150), exif=exif_block(8))
    ended = upsample(source, "-o", target)
    assert (ended.status, ended.err) == (0, "")
    with Image.open(target) as image:
        assert image.size == (26, 38)
    assert metadata(source) == {
        "icc": PROFILE, "dpi": (300, 150), "make": "Camera", "orientation": 8, "size": (13, 19)
    }  # fmt: skip
    assert metadata(target) == {
        "icc": PROFILE, "dpi": (150, 300), "make": "Camera", "orientation": 1, "size": (38, 26)
    }  # fmt: skip


def test_missing_metadata_is_not_invented():
    save("a.jpg", (13, 19))
    save("b.png", (13, 19))
    for target in ("a_x2.jpg", "b_x2.png"):
        assert upsample(target.replace("_x2", "")).status == 0
        assert metadata(target) == {"icc": None, "dpi": (), "make": None, "orientation": None, "size": (None, None)}


# Names and arguments -----------------------------------------------------------------------------------------------

ODD_NAMES = [
    "with space.png", " .png", "[brackets].png", "[red]x[bold].png", "a*b?.png", ":smile:.png", "back\\slash.png",
    "é日本🙂.png", "new\nline.png", "tab\tand \x1b[31mred.png", "-o.png", "--help.png", "$HOME.png", "%s.png",
]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="POSIX file names")
def test_any_file_name_works():
    """All at once after --, each alone in a folder, and matched by a pattern; one of the names is not UTF-8."""
    odd = [*ODD_NAMES, os.fsdecode(b"latin-\xe9.png")]
    for index, name in enumerate(odd):
        save(f"d/{name}", (3, 5), seed=index)
    before = tree("d")
    os.chdir("d")
    ended = upsample("-o", "../out/", "--", *odd)
    assert (ended.status, ended.err) == (0, "")
    assert upsample("../d", "-o", "../out 2").status == 0
    assert upsample("-o", "../out 3", "--", "*.png").status == 0
    os.chdir("..")
    assert names("out") == sorted(f"{name.removesuffix('.png')}_x2.png" for name in odd)
    assert tree("out") == tree("out 2") == tree("out 3")
    assert tree("d") == before
    for name in odd:
        found = pixels_of(f"out/{name.removesuffix('.png')}_x2.png")
        assert_same_pixels(found, expected_pixels(pixels_of(f"d/{name}"), 2))


def test_a_name_that_begins_with_a_dash_needs_two_dashes():
    save("-x.png")
    assert upsample("-x.png").status == 2
    assert upsample("--", "-x.png").status == 0
    assert names(".") == ["-x.png", "-x_x2.png"]


def test_names_of_outputs_in_common_cases():
    save("Photo.JPG", format="JPEG")
    save("shots/a.png")
    save("shots/deep/b.webp")
    lossless = save("noext", format="PNG").read_bytes()
    Path("wrong.jpg").write_bytes(lossless)
    assert upsample("Photo.JPG").status == 0
    assert upsample("noext", "wrong.jpg", "-f", 3).status == 0
    assert upsample("shots", "-r").status == 0
    assert upsample("shots", "-r", "-o", "big/").status == 0
    assert upsample("Photo.JPG", "shots/a.png", "-o", "flat", "--format", "webp").status == 0
    assert names(".") == sorted(
        [
            "Photo.JPG", "Photo_x2.JPG", "noext", "noext_x3.png", "wrong.jpg", "wrong_x3.png",
            "shots/a.png", "shots/deep/b.webp", "shots_x2/a_x2.png", "shots_x2/deep/b_x2.webp",
            "big/a_x2.png", "big/deep/b_x2.webp", "flat/Photo_x2.webp", "flat/a_x2.webp",
        ]
    )  # fmt: skip


def test_a_second_run_with_the_output_inside_the_input_folder_changes_nothing():
    save("shots/a.png")
    save("shots/deep/b.png")
    for _ in range(2):
        assert upsample("shots", "-r", "-o", "shots/big").status == 0
        assert names("shots") == ["a.png", "big/a_x2.png", "big/deep/b_x2.png", "deep/b.png"]
    assert upsample("shots/*", "-o", "shots/big").status == 0  # the output folder matches the pattern too
    assert names("shots") == ["a.png", "big/a_x2.png", "big/b_x2.png", "big/deep/b_x2.png", "deep/b.png"]


USAGE_ERRORS = [
    (("a.png", "--nonsense"), "upsample: no such option: --nonsense"),
    (("a.png", "--width"), "upsample: option '--width' requires an argument; see upsample --help"),
    (("a.png", "--width", "x"), "upsample: invalid value for '--width': "),
    (("a.png", "--factor", "0"), "factor 0 is not a number from 1 to 64; give --factor 2"),
    (("a.png", "-f", "65"), "factor 65 is too large; give a factor from 1 to 64"),
    (("a.png", "-f", "x"), "factor 'x' is not a number from 1 to 64; give --factor 2, --factor 1.5 or --factor 4/3"),
    (("a.png", "-f", "2.5", "--width", "9"), "--factor and --width both say how large"),
    (("a.png", "--tile", "0"), "give --tile 1 or more"),
    (("a.png", "--workers", "0"), "give --workers 1 or more"),
    (("a.png", "--memory", "nonsense"), "--memory 'nonsense' is not a quantity; write --memory 2G"),
    (("a.png", "--memory", "0"), "--memory '0' is not a quantity"),
    (("a.png", "--memory", "-1G"), "--memory '-1G' is not a quantity"),
    (("a.png", "--memory", "1K"), "the memory budget is too small for a single tile; give --memory "),
    (("a.png", "--timeout", "abc"), "--timeout 'abc' is not a number of seconds; write --timeout 30"),
    (("a.png", "--max-pixels", "many"), "--max-pixels 'many' is not a quantity"),
    (("a.png", "--quality", "10"), "quality 10 is not one of PNG's; give 0 to 9"),
    (("a.png", "--quality", "101", "--format", "jpg"), "quality 101 is not one of JPEG's; give 1 to 100"),
    (("a.png", "--quality", "50", "--format", "bmp"), "BMP has no quality to choose; leave --quality out"),
    (("a.png", "--format", "pcx"), "no image format is called 'pcx'; choose one of jpeg, png"),
    (("a.png", "--format", "psd"), "PSD is read and not written; choose one of jpeg, png"),
    (("a.png", "--kernel", "cubic"), "there is no kernel named 'cubic'; choose one of bilinear, nearest"),
    (("a.png", "--border", "mirror"), "there is no --border 'mirror'; choose one of replicate, reflect, wrap, zeros"),
    (("a.png", "--alpha", "no"), "there is no --alpha 'no'; choose one of premultiplied, straight"),
    (("a.png", "--device", "gpu"), "there is no --device 'gpu'; choose one of auto, cpu, cuda, cuda:N, mps"),
    (("a.png", "--device", "cuda:99"), "there is no device 'cuda:99' here; choose --device auto or one of cpu"),
    (("a.png", "-o", "b.xyz"), "b.xyz: '.xyz' is not the extension of an image format; use one of .jpg, .png"),
    (
        ("a.png", "--format", "jpg", "-o", "b.PNG"),
        "b.PNG is named like a PNG file, and --format jpg makes it JPEG; leave out --format, or rename it",
    ),
    (
        ("a.png", "--format", "jpeg", "--name", "{stem}.PNG"),
        "--name '{stem}.PNG' gives JPEG files the extension .PNG; leave out --format, or end --name in {ext}",
    ),
    (("a.png", "-o", ""), "--output has no name; give it a file or a folder, or leave it out"),
    (("a.png", "b.png", "-o", "a.png"), "a.png is a file, and there are several images to write"),
    (("",), "an input has no name"),
    (("empty",), "no images in empty; name images, or folders that contain some, or add -r to include subfolders"),
    (("empty", "-r"), "no images in empty; name images, or folders that contain some"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS)
def test_an_impossible_command_line_is_status_2_and_writes_nothing(arguments, message):
    save("a.png")
    save("b.png")
    Path("empty").mkdir()
    Path("empty/notes.txt").touch()
    before = tree(".")
    ended = upsample(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.startswith("upsample: ")
    assert ended.err.count("\n") == 1
    assert tree(".") == before


def test_without_arguments_the_command_prints_its_help():
    ended = upsample()
    assert ended.status == 2
    assert "--factor" in ended.out + ended.err


def test_a_missing_cuda_device_is_an_error_that_lists_the_available_devices():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    save("a.png")
    ended = upsample("a.png", "--device", "cuda")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "upsample: there is no device 'cuda' here; choose --device auto or one of cpu\n"
    assert names(".") == ["a.png"]


def test_a_wider_image_than_one_band_of_memory_is_exact():
    """One row of 40,000 pixels at factor 8: the output's row exceeds the cache, so bands are split into tiles."""
    pixels = hostile_pixels((3, 40_001, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    assert upsample("a.png", "-f", 8, "--memory", "3M").status == 0
    assert_same_pixels(pixels_of("a_x8.png"), expected_pixels(pixels, 8))
