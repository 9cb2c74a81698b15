"""Templates for output names: their results, and refusals before anything is read."""

import string
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.running import names, save, upsample

from upsample_cli.enlarge.names import DEFAULT_NAME, NameFields, check_template, named, template_suffix
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.output_name import output_name
from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images.formats import FORMATS

pytestmark = pytest.mark.usefixtures("in_tmp_path")

FIELDS = NameFields("shot", ".png", 3, "day", 7, 30, 20, "bilinear")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (DEFAULT_NAME, "shot_x3.png"),
        ("{parent}/{stem}{ext}", "day/shot.png"),
        ("{index:05}{ext}", "00007.png"),
        ("{stem} {width}x{height} {kernel}{ext}", "shot 30x20 bilinear.png"),
        ("{stem}", "shot.png"),  # a missing extension is added
        ("{stem}.v2", "shot.v2.png"[:-4]),
        ("{stem}_x{factor}.webp", "shot_x3.webp"),
        ("{{{stem}}}{ext}", "{shot}.png"),
        ("{ext}/{stem}", ".png/shot.png"),
        ("{stem:.2}{ext}", "sh.png"),
    ],
)
def test_a_template_is_filled(template, name):
    check_template(template)
    assert named(template, FIELDS, "day/shot.png") == name


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("in.d/shot.JPG", "shot_x2.JPG"),
        ("in/a.b.jpeg", "a.b_x2.jpeg"),
        ("in/shot.png", "shot_x2.jpg"),
        ("in/shot", "shot_x2.jpg"),
        ("in/shot.", "shot._x2.jpg"),
        ("in.d/.JPG", ".JPG_x2.jpg"),
        ("in/..JPG", "._x2.jpg"),  # its stem is a dot, and only its format is known
        ("in/ä\udcff.jpg", "ä\udcff_x2.jpg"),
    ],
)
def test_the_usual_name_is_made_of_the_stem_and_the_suffix_of_a_path(image, name):
    """As `pathlib` defines them, before Python 3.14 gave "shot." a suffix."""
    assert output_name(image, FORMATS["jpeg"], Options(), index=1, height=2, width=3) == name
    if not image.endswith("."):
        assert name.startswith(f"{PurePosixPath(image).stem}_x2")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "empty"),
        ("/tmp/{stem}", "absolute"),
        ("../{stem}", "leads out"),
        ("a/../../{stem}", "leads out"),
        ("{stem}/", "empty"),
        ("a//{stem}", "empty"),
        ("./{stem}", "empty"),
        ("{name}", "{name} that is not known"),
        ("{stem.__class__}", "not known"),
        ("{stem[0]}", "not known"),
        ("{}", "not known"),
        ("{0}", "not known"),
        ("{stem", "cannot be read"),
        ("stem}", "cannot be read"),
        ("{stem!r}", "cannot write stem"),
        ("{stem:05d}", "cannot write stem"),
        ("{index:{width}}", "cannot write index"),
        ("{index:0999999999}", "cannot write index"),
        ("~{index:/^3}{ext}{index}.", "cannot write index"),
        ("{stem:/<5}", "cannot write stem"),
        ("x" * 300, "255 bytes"),
        ("a\nb{ext}", "names cannot have"),
        ("{stem}\0", "names cannot have"),
    ],
)
def test_an_invalid_template_is_refused_in_one_line(template, message):
    with pytest.raises(UsageError) as refused:
        check_template(template)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.next_step


def test_an_image_whose_name_is_too_long_for_the_template_fails_alone():
    long = NameFields("s" * 250, ".png", 3, "day", 7, 30, 20, "bilinear")
    with pytest.raises(ImageError, match="longer than the 255 bytes"):
        named("{stem}_of_{index}{ext}", long, "day/long.png")
    dots = NameFields("..", ".png", 3, "day", 7, 30, 20, "bilinear")
    with pytest.raises(ImageError, match="leads out"):
        named("{stem}/a{ext}", dots, "day/...png")


@given(st.lists(st.sampled_from(["{stem}", "{ext}", "{index:03}", "/", "..", ".", "a", "{parent}"]), max_size=6))
@settings(max_examples=200)
def test_accepted_names_stay_below_the_folder(parts):
    template = "".join(parts)
    try:
        check_template(template)
        name = named(template, FIELDS, "day/shot.png")
    except (UsageError, ImageError):
        return
    path = PurePosixPath("out", name)
    assert path.is_relative_to("out")
    assert ".." not in path.parts
    assert len(path.parts) == name.count("/") + 2
    fields = [field for _, field, _, _ in string.Formatter().parse(template.rpartition("/")[2])]
    assert ("ext" in fields) == (template_suffix(template) is None)


_SPECS = st.text(st.sampled_from("0123456789<>^=+- ,_.xXbcdeEfgGnos%/{}!:²٣\0\n\ud800"), max_size=6)
_FIELDS = st.builds(
    lambda name, colon, spec: f"{{{name}{colon}{spec}}}",
    st.sampled_from([*NameFields.__slots__, "", "0", "stem.a"]),
    st.sampled_from(["", ":", ":", "!r:"]),
    _SPECS,
)
_ODD = (
    FIELDS,
    NameFields("", ".p", "4-3", "", 100_000, 1, 999_999, "x y"),
    NameFields("ä\udcff" * 3, ".PNG", "1.5", "..", 123, 1, 1, ""),
)


_LITERALS = st.text(st.sampled_from("~./ab{}\\:é\n\0\ud800%"), max_size=4)


@given(st.lists(st.one_of(_FIELDS, _LITERALS, _FIELDS), max_size=6), st.sampled_from(_ODD))
@example(["~{index:/^3}{ext}{index}."], _ODD[0])
@example(["{stem:\n<3}"], _ODD[1])
@example(["\ud800"], _ODD[0])
@settings(max_examples=2000)
def test_any_template_gives_a_name_or_one_line(parts, fields):
    template = "".join(parts)
    name, line = "a", ""
    try:
        check_template(template)
        template_suffix(template)
        name = named(template, fields, "day/shot.png")
    except (UsageError, ImageError) as error:
        line = str(error)
    assert "\n" not in line
    assert not set(name.split("/")) & {"", ".", ".."}
    assert "\0" not in name


def test_outputs_have_the_names_of_the_template():
    save("in/a.png", (3, 5))
    save("in/sub/b.png", (3, 5))
    template = "{parent}/{index:03}_{stem}_{width}x{height}_{kernel}{ext}"
    assert upsample("in", "-r", "-o", "out", "--name", template).status == 0
    assert names("out") == ["in/001_a_10x6_bilinear.png", "sub/sub/002_b_10x6_bilinear.png"]
    again = upsample("in", "-r", "-o", "out", "--name", template, "--json").document
    assert again["summary"]["skipped"] == 2


@pytest.mark.parametrize(
    ("kernel", "name"), [("k.npy", "k"), ("deep/k.npy", "k"), ("net.v2.pt:up.weight", "net.v2"), ("bicubic-0.75",) * 2]
)
def test_a_kernel_from_a_file_has_the_name_of_the_file_without_its_extension(kernel, name):
    weight = np.full((1, 1, 2, 2), 1.0)
    Path("deep").mkdir()
    np.save("k.npy", weight)
    np.save("deep/k.npy", weight)
    torch.save({"up.weight": torch.from_numpy(weight), "other": torch.ones(1, 1, 4, 4)}, "net.v2.pt")
    save("a.png")
    assert upsample("a.png", "-o", "out/", "--kernel", kernel, "--name", "{stem}_{kernel}{ext}").status == 0
    assert names("out") == [f"a_{name}.png"]


def test_the_extension_of_a_template_chooses_the_format():
    save("in/a.png")
    save("in/b.bmp")
    assert upsample("in", "-o", "out", "--name", "{stem}.webp").status == 0
    assert [Path("out", name).read_bytes()[8:12] for name in names("out")] == [b"WEBP", b"WEBP"]
    assert upsample("in", "-o", "out", "--name", "{stem}_{index}", "--format", "tif").status == 0
    assert names("out") == ["a.webp", "a_1.tif", "b.webp", "b_2.tif"]


@pytest.mark.parametrize("arguments", [("-o", "b.png"), ("-o", "-", "--dry-run")])
def test_a_template_and_an_output_file_cannot_be_combined(arguments):
    save("a.png")
    ended = upsample("a.png", *arguments, "--name", "{stem}{ext}")
    assert (ended.status, names(".")) == (2, ["a.png"])
    assert "leave one out" in ended.err
