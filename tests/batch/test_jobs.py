"""A run is planned completely before the first pixel: names, refusals, and skipped inputs. No torch."""

import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.facts import lines
from support.running import save, tree

from upsample_cli.batch.inputs import Found, find_inputs
from upsample_cli.batch.outputs import Outputs, outputs_of
from upsample_cli.batch.plan import plan_run
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import UsageError

pytestmark = [
    pytest.mark.usefixtures("in_tmp_path"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX file names and links"),
]


def planned(*arguments, output=None, recursive=False, **options):
    """The entries that the command plans for these arguments."""
    exclude = Path(output) if output else None
    inputs = list(find_inputs(map(str, arguments), recursive=recursive, exclude=exclude))
    return plan_run(inputs, outputs_of(output, inputs), Options(**options))


def outputs(*arguments, **keywords):
    """{input: output} as text; every entry must be planned."""
    entries = planned(*arguments, **keywords)
    assert [entry.result.status for entry in entries] == ["planned"] * len(entries), entries
    return {str(entry.job.input): str(entry.job.output) for entry in entries}


def statuses(*arguments, **keywords):
    return {str(entry.result.input): entry.result.status for entry in planned(*arguments, **keywords)}


# Names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format_", "options", "output"),
    [
        ("a.png", "PNG", {}, "a_x2.png"),
        ("a.png", "PNG", {"factor": 1}, "a_x1.png"),
        ("a.png", "PNG", {"factor": 64}, "a_x64.png"),
        ("A.PNG", "PNG", {}, "A_x2.PNG"),
        ("Photo.Jpeg", "JPEG", {}, "Photo_x2.Jpeg"),
        ("a.jpeg", "JPEG", {"format": "jpg"}, "a_x2.jpeg"),
        ("a.png", "PNG", {"format": ".JPG"}, "a_x2.jpg"),
        ("a.b.c.png", "PNG", {"format": "tiff"}, "a.b.c_x2.tif"),
        ("really a png.jpg", "PNG", {}, "really a png_x2.png"),  # content decides, not the name
        ("no extension", "JPEG", {}, "no extension_x2.jpg"),
        ("a.backup", "PNG", {}, "a_x2.png"),
        (".png", "PNG", {}, ".png_x2.png"),
        ("-n.png", "PNG", {}, "-n_x2.png"),
        ("[1] é 日本\n🙂.png", "PNG", {}, "[1] é 日本\n🙂_x2.png"),
    ],
)
def test_an_output_is_named_after_its_input_its_factor_and_its_format(name, format_, options, output):
    save(f"d/{name}", format=format_)
    assert outputs(f"d/{name}", **options) == {f"d/{name}": f"d/{output}"}


def test_output_is_a_file_for_one_image():
    save("a.png")
    assert outputs("a.png", output="new/b.jpg") == {"a.png": "new/b.jpg"}
    assert outputs("a.png", output="b") == {"a.png": "b"}
    (entry,) = planned("a.png", output="new/b.jpg")
    assert entry.job.format == "jpeg"
    (entry,) = planned("a.png", output="b.dat", format="webp")
    assert entry.job.format == "webp"
    (entry,) = planned("a.png", output="b")
    assert entry.job.format == "png"
    (entry,) = planned("a.png", output="b.TIF")
    assert entry.job.format == "tiff"


def test_output_is_a_folder_if_it_exists_or_ends_in_a_slash():
    save("a.png")
    Path("there.png").mkdir()
    Path("link").symlink_to("there.png")
    assert outputs("a.png", output="there.png") == {"a.png": "there.png/a_x2.png"}
    assert outputs("a.png", output="link") == {"a.png": "link/a_x2.png"}
    assert outputs("a.png", output="new/") == {"a.png": "new/a_x2.png"}


def test_output_is_a_folder_for_several_images_and_for_a_folder():
    save("a.png")
    save("f/b.png")
    assert outputs("a.png", "f/b.png", output="new") == {"a.png": "new/a_x2.png", "f/b.png": "new/b_x2.png"}
    assert outputs("f", output="new") == {"f/b.png": "new/b_x2.png"}


def test_several_images_cannot_have_one_output_file():
    for name in ("a.png", "f/b.png", "there.png"):
        save(name)
    Path("dangling").symlink_to("nowhere/at/all")
    for arguments, output in ((("a.png", "f/b.png"), "there.png"), (("f",), "there.png"), (("f", "a.png"), "dangling")):
        with pytest.raises(UsageError, match=f"^{output} is a file.*give output a folder"):
            planned(*arguments, output=output, overwrite=True)


def test_an_output_folder_named_like_an_image_is_refused():
    for name in ("a.png", "f/b.png"):
        save(name)
    with pytest.raises(UsageError, match=r"^out\.jpg is named like an image.* write out\.jpg/$"):
        planned("a.png", "f/b.png", output="out.jpg")
    assert outputs("a.png", "f/b.png", output="out.jpg/") == {
        "a.png": "out.jpg/a_x2.png",
        "f/b.png": "out.jpg/b_x2.png",
    }


def test_a_folder_is_mirrored_next_to_itself(monkeypatch):
    save("s/f/a.png")
    save("s/f/deep/er/b.png")
    mirrored = {"s/f/a.png": "s/f_x3/a_x3.png", "s/f/deep/er/b.png": "s/f_x3/deep/er/b_x3.png"}
    assert outputs("s/f", recursive=True, factor=3) == mirrored
    assert outputs("s/f/", recursive=True, factor=3) == mirrored
    assert outputs("s/f", factor=3) == dict(itertools.islice(mirrored.items(), 1))
    Path("link").symlink_to("s/f")
    assert outputs("link") == {"link/a.png": "link_x2/a_x2.png"}
    root = Path.cwd()
    monkeypatch.chdir("s/f")
    assert outputs(".") == {"a.png": f"{root}/s/f_x2/a_x2.png"}
    monkeypatch.chdir("deep")
    assert outputs("..") == {"../a.png": f"{root}/s/f_x2/a_x2.png"}


def test_trees_are_mirrored_below_the_output_folder():
    save("f/a.png")
    save("f/deep/a.png")
    save("g/b.png")
    assert outputs("f", "g", recursive=True, output="o") == {
        "f/a.png": "o/a_x2.png",
        "f/deep/a.png": "o/deep/a_x2.png",
        "g/b.png": "o/b_x2.png",
    }


def test_a_folder_without_a_parent_needs_an_output():
    found = [Found("/a.png", "/")]
    with pytest.raises(UsageError, match="cannot have a mirror next to it; give output a folder"):
        plan_run(found, Outputs(), Options())
    (entry,) = plan_run(found, Outputs(folder=Path("o")), Options())
    assert entry.result.error == "/a.png: no such file; check the name"


def test_an_extension_that_is_not_an_image_format_is_refused():
    save("a.png")
    with pytest.raises(
        UsageError, match=r"^b.xyz: '.xyz' is not the extension of an image format; use one of .*\.png.*add format"
    ):
        planned("a.png", output="b.xyz")
    (entry,) = planned("a.png", output="b.xyz", format="png")
    assert str(entry.job.output) == "b.xyz"


# Each input is used once --------------------------------------------------------------------------------------------


def test_a_repeated_input_counts_once_at_its_first_position():
    save("f/a.png")
    save("f/b.png")
    Path("g").symlink_to("f")
    entries = planned("f/b.png", "f/a.png", "./f/../f/b.png", Path("f/b.png").absolute(), "g/b.png", output="o")
    assert [str(entry.job.input) for entry in entries] == ["f/b.png", "f/a.png"]
    assert outputs("f/b.png", "f", output="o") == {"f/b.png": "o/b_x2.png", "f/a.png": "o/a_x2.png"}


def test_a_link_to_an_image_is_a_separate_input():
    save("f/a.png")
    Path("f/b.png").symlink_to("a.png")
    assert outputs("f") == {"f/a.png": "f_x2/a_x2.png", "f/b.png": "f_x2/b_x2.png"}


# Refused before anything is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "arguments", "keywords", "message"),
    [
        (
            ("f/a.png", "g/a.png"),
            ("f/a.png", "g/a.png"),
            {"output": "o/"},
            "f/a.png and g/a.png .*written to o/a_x2.png",
        ),
        (("f/a.png", "f/a.jpg"), ("f",), {"format": "png"}, "f/a.jpg and f/a.png .*written to f_x2/a_x2.png"),
        (("f/a.png", "g/a.png"), ("f", "g"), {"output": "o"}, "f/a.png and g/a.png .*written to o/a_x2.png"),
        (("a.png", "o/x.png"), ("a.png", "o/x.png"), {"output": "l"}, ""),
        (("a.png", "a_x2.png"), ("a.png", "a_x2.png"), {"overwrite": True}, "^a_x2.png is an input .*enlarged a.png"),
        (("a.png",), ("a.png",), {"output": "a.png"}, "^a.png is the input itself"),
        (("a.png",), ("a.png",), {"output": "a.png", "overwrite": True}, "^a.png is the input itself"),
        (("a.png",), ("a.png",), {"output": "./sub/../a.png", "overwrite": True}, "is the input itself"),
    ],
)
def test_colliding_outputs_are_refused(names, arguments, keywords, message):
    for index, name in enumerate(names):
        save(name, seed=index)
    if not message:  # the control: the same names in other folders do not collide
        assert len(outputs(*arguments, **keywords)) == 2
        return
    with pytest.raises(UsageError, match=message) as refused:
        planned(*arguments, **keywords)
    assert refused.value.next_step


def test_collisions_through_links_are_refused():
    for index, name in enumerate(("a.png", "b.png", "f/a.png", "g/a.png")):
        save(name, seed=index)
    Path("there").symlink_to(".")
    save("a_x2.png")
    with pytest.raises(UsageError, match=r"a_x2\.png is the input there/a_x2\.png under another name"):
        planned("a.png", "there/a_x2.png", overwrite=True)
    save("f/a.bmp")
    Path("h").symlink_to("f")
    with pytest.raises(UsageError, match="would both be written"):
        planned("f/a.png", "h/a.bmp", format="jpg")


def test_a_bad_input_is_protected_too():
    save("a.png")
    Path("a_x2.png").write_bytes(b"an image one day, but damaged")
    with pytest.raises(UsageError, match=r"a_x2\.png is an input"):
        planned("a.png", "a_x2.png", overwrite=True)


# Existing outputs ---------------------------------------------------------------------------------------------------


def test_an_existing_output_is_an_error_for_a_single_image_and_skipped_in_a_batch():
    save("f/a.png", (11, 17))
    save("f/a_x2.png")
    (alone,) = planned("f/a.png")
    assert (alone.result.status, alone.job) == ("failed", None)
    assert alone.result.error == "f/a_x2.png: exists already; add overwrite=True to replace it"
    save("b.png")
    batch = planned("f/a.png", "b.png")
    assert [entry.result.status for entry in batch] == ["skipped", "planned"]
    skipped = batch[0].result
    assert skipped.warnings == ("f/a_x2.png: exists already; add overwrite=True to replace it",)
    assert skipped.error is None
    for result in (alone.result, skipped):  # both results contain everything known
        assert (result.height, result.width, result.output_height, result.output_width) == (11, 17, 22, 34)
        assert result.output == Path("f/a_x2.png")
    assert statuses("f/a.png", "b.png", overwrite=True) == {"f/a.png": "planned", "b.png": "planned"}


def test_a_folder_with_one_image_is_a_batch():
    save("f/a.png")
    save("f_x2/a_x2.png")
    assert statuses("f") == {"f/a.png": "skipped"}


def test_a_dangling_link_counts_as_existing_and_a_folder_is_an_error():
    save("f/a.png")
    save("f/b.png")
    Path("f_x2").mkdir()
    Path("f_x2/a_x2.png").symlink_to("nowhere.png")
    Path("f_x2/b_x2.png").mkdir()
    assert statuses("f") == {"f/a.png": "skipped", "f/b.png": "failed"}
    assert statuses("f", overwrite=True) == {"f/a.png": "failed", "f/b.png": "failed"}
    assert planned("f")[1].result.error.startswith("f_x2/b_x2.png: is a folder; ")


# Bad inputs --------------------------------------------------------------------------------------------------------


def test_a_bad_input_fails_alone_and_the_others_are_planned():
    save("a.png")
    Path("empty.png").touch()
    Path("text.png").write_text("no image\n")
    save("huge.png", (40, 50))
    results = [
        entry.result for entry in planned("empty.png", "a.png", "text.png", "missing.png", "huge.png", max_pixels=1999)
    ]
    assert [result.status for result in results] == ["failed", "planned", "failed", "failed", "failed"]
    for result in results:
        assert result.error is None or (result.error.startswith(f"{result.input}: ") and "\n" not in result.error)
    assert "empty" in results[0].error
    assert "not an image" in results[2].error
    assert "no such file" in results[3].error
    assert "max_pixels=2000" in results[4].error
    assert statuses("huge.png", max_pixels=2000) == {"huge.png": "planned"}


def test_an_image_too_large_for_its_format_fails_before_any_work():
    save("wide.png", (1, 8192))
    save("long.png", (1024, 1), "L")
    failed = planned("wide.png", "long.png", format="webp", output="o/")
    assert [entry.result.status for entry in failed] == ["failed", "planned"]
    assert "WebP holds at most 16383 pixels a side, not 16384×2; write PNG or TIFF" in failed[0].result.error
    assert statuses("wide.png", format="webp", factor=1) == {"wide.png": "planned"}
    assert statuses("long.png", format="jpeg", factor=64) == {"long.png": "failed"}


def test_strict_makes_a_loss_an_error_before_any_work():
    save("a.png", mode="RGBA")
    (entry,) = planned("a.png", format="jpeg")
    assert lines(entry.job.losses) == ("JPEG cannot hold transparency; it is laid over white",)
    (entry,) = planned("a.png", format="jpeg", strict=True)
    assert entry.result.status == "failed"
    assert entry.result.error.startswith("a.png: refused by strict: JPEG cannot hold transparency")
    assert statuses("a.png", strict=True) == {"a.png": "planned"}


@pytest.mark.parametrize(("format_", "quality"), [("jpeg", 0), ("jpeg", 101), ("png", 10), ("png", -1), ("gif", 50)])
def test_a_quality_that_the_format_does_not_have_is_refused(format_, quality):
    save("a.png")
    with pytest.raises(UsageError, match="qualit"):
        planned("a.png", format=format_, quality=quality)
    save(f"b.{format_}")
    with pytest.raises(UsageError, match="qualit"):  # also when only the input decides the format
        planned(f"b.{format_}", quality=quality)


# The rule for any set of inputs -------------------------------------------------------------------------------------

_PLACES = st.sampled_from(
    [f"{folder}/{stem}{end}" for folder in "fg" for stem in ("a", "a_x2") for end in (".png", ".bmp")]
)


@given(st.sets(_PLACES, min_size=1), st.booleans(), st.sampled_from([None, "o/", "f/"]), st.sampled_from([None, "png"]))
@settings(max_examples=120)
def test_a_plan_writes_each_output_once_and_never_an_input(places, overwrite, output, format_):
    """Compared with names computed here: a plan is refused if and only if an output meets another file of the run."""
    named = {}
    for place in sorted(places):
        folder, stem, end = Path(place).parent, Path(place).stem, Path(place).suffix
        target = f"{output or f'{folder}/'}{stem}_x2{'.png' if format_ else end}"
        if overwrite or target not in places:
            named[place] = target
    collide = len(set(named.values())) < len(named) or places & set(named.values())
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for place in places:
            save(place, (1, 1))
        before = tree(root)
        if collide:
            with pytest.raises(UsageError, match="would"):
                planned(*sorted(places), output=output, overwrite=overwrite, format=format_)
        else:
            entries = planned(*sorted(places), output=output, overwrite=overwrite, format=format_)
            assert {str(entry.job.input): str(entry.job.output) for entry in entries if entry.job} == named
            assert [str(entry.result.input) for entry in entries] == sorted(places)
        assert tree(root) == before
