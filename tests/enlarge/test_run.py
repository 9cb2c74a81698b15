"""One image from file to file, in this process: the result, the messages, and the files that remain."""

import re
import threading
import warnings
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.oracles import assert_same_pixels, expected_pixels
from support.running import names, pixels_of, save, tree

import upsample_cli
from upsample_cli import UpsampleError, upsample_file
from upsample_cli.batch.carry import Carrier
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job
from upsample_cli.enlarge.resolve import check_strict
from upsample_cli.enlarge.run import enlarge_image
from upsample_cli.errors import (
    DeviceError,
    ImageError,
    InputChangedError,
    Interrupted,
    Loss,
    OutputExistsError,
    UsageError,
)

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def test_the_result_describes_the_output():
    save("a.png", (11, 17))
    result = upsample_file("a.png", "b.png", 3)
    assert (result.input, result.output, result.status) == (Path("a.png"), Path("b.png"), "written")
    assert (result.height, result.width, result.output_height, result.output_width) == (11, 17, 33, 51)
    assert (result.warnings, result.error) == ((), None)
    assert 0 < result.elapsed_s < 60
    assert_same_pixels(pixels_of("b.png"), expected_pixels(pixels_of("a.png"), 3))


def test_names_may_be_text_or_paths_and_the_default_output_is_next_to_the_input():
    save("d/a.png")
    assert upsample_file("d/a.png").output == Path("d/a_x2.png")
    assert upsample_file(Path("d/a.png"), factor=3).output == Path("d/a_x3.png")
    assert upsample_file(Path("d/a.png"), Path("e/b.png")).output == Path("e/b.png")
    assert tree(".")["d/a_x2.png"] == tree(".")["e/b.png"]


def test_upsample_file_is_exported_by_the_package():
    assert upsample_cli.upsample_file is upsample_file


CASES = [
    ({"border": "zeros"}, {"border": "zeros"}),
    ({"border": "reflect"}, {"border": "reflect"}),
    ({"border": "wrap"}, {"border": "wrap"}),
    ({"kernel": "nearest"}, {"kernel": "nearest"}),
    ({"alpha": "straight"}, {"has_alpha": False}),
    ({"tile": 3}, {}),
    ({"device": "cpu", "memory_bytes": 10**6}, {}),
    ({"quality": 9}, {}),
]


@pytest.mark.parametrize(("options", "oracle"), CASES)
def test_every_option_takes_effect(options, oracle):
    """RGBA with odd sizes; the control: options that change pixels give a result other than the default's."""
    save("a.png", (7, 9), "RGBA")
    upsample_file("a.png", "b.png", 2, **options)
    found, default = pixels_of("b.png"), expected_pixels(pixels_of("a.png"), 2, has_alpha=True)
    expected = expected_pixels(pixels_of("a.png"), 2, **{"has_alpha": True, **oracle})
    assert_same_pixels(found, expected)
    assert np.array_equal(expected, default) == (not oracle)


def test_the_name_of_the_output_or_the_format_option_chooses_the_format():
    save("a.png")
    for target, options, kind in (
        ("b.webp", {}, "WEBP"),
        ("c.JPG", {}, "JPEG"),
        ("d", {"format": "tif"}, "TIFF"),
        ("e.jpg", {"format": "jpeg"}, "JPEG"),
        ("f.dat", {"format": "png"}, "PNG"),
    ):
        upsample_file("a.png", target, **options)
        with Image.open(target) as image:
            assert (image.format, image.size) == (kind, (34, 22))
    with pytest.raises(UsageError, match=r"^g\.jpg is named like a JPEG file, and format=png makes it PNG; "):
        upsample_file("a.png", "g.jpg", format="png")


def test_a_loss_is_a_warning_and_with_strict_an_error():
    save("a.png", mode="RGBA")
    result = upsample_file("a.png", "b.jpg")
    assert result.status == "written"
    assert result.warnings == ("JPEG cannot hold transparency; it is laid over white",)
    with pytest.raises(ImageError, match=r"^a\.png: refused by strict: JPEG cannot hold transparency"):
        upsample_file("a.png", "c.jpg", strict=True)
    assert names(".") == ["a.png", "b.jpg"]


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("depth", "choose a format or an output extension that keeps it, or leave out strict"),
        ("stretched", "give fit or another size, or leave out strict"),
        ("metadata", "give metadata=strip, or leave out strict"),
        ("channels", "leave out strict"),
        ("damage", "get a new copy of it, or leave out strict"),
    ],
)
def test_strict_advises_what_avoids_the_loss(kind, step):
    with pytest.raises(ImageError) as refused:
        check_strict(Path("a.png"), (Loss(kind, "lost"),), Options(strict=True))
    assert str(refused.value) == f"a.png: refused by strict: lost; {step}"


def test_a_chunk_that_strict_refuses_is_not_missed_without_metadata():
    save("a.png")
    whole = Path("a.png").read_bytes()
    chunk = b"\0\0\0\1vpAg\0" + zlib.crc32(b"vpAg\0").to_bytes(4, "big")
    Path("a.png").write_bytes(whole[:33] + chunk + whole[33:])
    with pytest.raises(ImageError, match=r"left out \(vpAg\); give metadata=strip, or leave out strict"):
        upsample_file("a.png", strict=True)
    assert upsample_file("a.png", strict=True, metadata="strip").warnings == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0}, "factor 0 "),
        ({"factor": 65}, "factor 65 "),
        ({"factor": 0.5}, "factor 0.5 "),
        ({"factor": "two"}, "factor 'two' "),
        ({"kernel": "cubic"}, "choose one of bilinear, nearest"),
        ({"border": "mirror"}, "choose one of replicate, reflect, wrap, zeros"),
        ({"alpha": "none"}, "choose one of premultiplied, straight"),
        ({"tile": 0}, "tile=1 or more"),
        ({"quality": 10}, "give 0 to 9"),
        ({"format": "psd"}, "choose one of jpeg, png"),
        ({"device": "gpu"}, "choose one of auto, cpu, cuda"),
        ({"device": "cuda:999"}, "choose device=auto or one of cpu"),
        ({"memory_bytes": 1000}, "give memory_bytes=[0-9]+ or more"),
        ({"kernel": None}, "kernel=None is not text"),
        ({"device": 5}, "device=5 is not text"),
        ({"format": b"png"}, "format=b'png' is not text"),
        ({"tile": 1.5}, r"tile=1\.5 is not a whole number"),
        ({"frame": True}, "frame=True is not a whole number"),
        ({"max_pixels": float("nan")}, "max_pixels=nan is not a whole number"),
        ({"width": 4.0}, r"width=4\.0 is not a whole number"),
        ({"size": (True, 4)}, r"\(True, 4\) is not a valid size"),
        ({"fit": "4x4"}, "'4x4' is not a valid fit"),
        ({"overwrite": "no"}, "overwrite='no' is neither true nor false; give True or False"),
        ({"strict": None}, "strict=None is neither"),
        ({"linear_light": 2}, "linear_light=2 is neither"),
        ({"keep_times": [True]}, r"keep_times=\[True\] is neither"),
        ({"width": 10**400}, r"width=10{79}\.\.\. is too large"),
        ({"size": np.array(4)}, r"array\(4\) is not a valid size"),
        ({"border": np.array([])}, "there is no border=array"),
        ({"depth": 8}, "there is no depth=8; choose one of keep, 8, 16"),
        ({"on_progress": "print"}, "on_progress='print' cannot be called; give a function"),
        ({"target": b"b.png"}, "target=b'b.png' is not text; give a str"),
        ({"target": 2.5}, "target=2.5 is not text"),
        ({"target": "b\0.png"}, "target=.* cannot be the name of a file"),
        ({"target": "\ud800.png"}, "target=.* cannot be the name of a file"),
    ],
)
def test_an_option_out_of_range_is_a_usage_error_with_the_range(options, message):
    save("a.png")
    with pytest.raises(UsageError, match=message):
        upsample_file("a.png", **options)
    assert names(".") == ["a.png"]


@pytest.mark.parametrize("source", [None, 5, b"a.png", ["a.png"], np.array(["a.png"]), Image.new("L", (2, 2))])
def test_a_source_that_is_no_path_is_a_usage_error(source):
    save("a.png")
    with pytest.raises(UsageError, match=r"^source=.* is not text; give a str$"):
        upsample_file(source)
    assert upsample_file(Path("a.png"), np.str_("b.png")).status == "written"  # the control


def test_whole_numbers_of_numpy_work_where_ints_do():
    save("a.png")
    options = {"width": np.int64(9), "tile": np.uint8(4), "max_pixels": np.int32(10**6), "dpi": np.int16(300)}
    assert upsample_file("a.png", "b.png", **options).status == "written"
    assert pixels_of("b.png").shape[1] == 9
    assert upsample_file("a.png", "c.png", np.int64(3)).status == "written"


def test_a_flag_may_be_a_number_or_a_bool_of_numpy():
    save("a.png")
    for flag in (False, 0, np.False_):
        assert upsample_file("a.png", "b.png", overwrite=flag).status == "written"
        with pytest.raises(ImageError, match="exists"):
            upsample_file("a.png", "b.png", overwrite=flag)
        Path("b.png").unlink()
    for flag in (True, 1, np.True_):
        assert [upsample_file("a.png", "c.png", overwrite=flag).status for _ in range(2)] == ["written"] * 2


def test_numbers_of_numpy_lists_and_paths_are_plain_values():
    save("a.png", (20, 30))
    np.save("k.npy", np.ones((1, 1, 7, 7), np.float32))
    upsample_file("a.png", "expected.png", size=(140, 210), kernel="nearest")
    kinds = [np.uint8, np.int64]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of overflows
        results = [
            upsample_file(
                "a.png", f"{kind.__name__}.png", kernel=Path("k.npy"), size=[kind(140), kind(210)], frame=kind(1)
            )
            for kind in kinds
        ]
    for kind, result in zip(kinds, results, strict=True):
        assert type(result.output_height) is int
        assert_same_pixels(pixels_of(f"{kind.__name__}.png"), pixels_of("expected.png"))
    size = np.uint8([140, 210])
    with pytest.warns(RuntimeWarning):  # the control: it overflows
        size[0] + size[1]


def test_the_minimum_memory_in_the_message_is_enough():
    save("a.png", (40, 50))
    with pytest.raises(UsageError) as refused:
        upsample_file("a.png", memory_bytes=1000)
    least_bytes = int(re.search(r"memory_bytes=(\d+)", str(refused.value))[1])
    upsample_file("a.png", memory_bytes=least_bytes)
    assert_same_pixels(pixels_of("a_x2.png"), expected_pixels(pixels_of("a.png"), 2))
    with pytest.raises(UsageError):
        upsample_file("a.png", "b.png", memory_bytes=least_bytes - 100)


def test_the_input_is_never_replaced():
    before = save("a.png").read_bytes()
    Path("link.png").symlink_to("a.png")
    for source, target in (("a.png", "a.png"), ("a.png", "./a.png"), ("a.png", "link.png"), ("link.png", "a.png")):
        with pytest.raises(UsageError, match="is the input itself"):
            upsample_file(source, target, overwrite=True)
    assert Path("a.png").read_bytes() == before
    assert names(".") == ["a.png", "link.png"]


def test_an_existing_output_is_kept_without_overwrite():
    save("a.png")
    Path("b.png").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"^b\.png: exists already; add overwrite=True"):
        upsample_file("a.png", "b.png")
    assert Path("b.png").read_bytes() == b"mine"
    upsample_file("a.png", "b.png", overwrite=True)
    assert pixels_of("b.png").shape == (22, 34, 3)


def test_a_missing_output_folder_is_created_only_if_the_image_succeeds():
    save("a.png")
    upsample_file("a.png", "new/deep/b.png")
    assert pixels_of("new/deep/b.png").shape == (22, 34, 3)
    Path("bad.png").write_bytes(Path("a.png").read_bytes()[:300])
    with pytest.raises(ImageError, match="truncated"):
        upsample_file("bad.png", "other/deep/b.png")
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("a.png/b.png", "a part of its path is not a folder"),
        ("a.png/c/b.png", "a part of its path is not a folder"),
        ("x" * 300 + ".png", "its name is longer than the file system allows"),
        ("x" * 300 + "/b.png", "its name is longer than the file system allows"),
        ("d.png", "is a folder"),
    ],
)
def test_an_impossible_output_path_is_one_line(target, message):
    save("a.png")
    Path("d.png").mkdir()
    with pytest.raises(ImageError, match=message) as refused:
        upsample_file("a.png", target, overwrite=True)
    assert str(refused.value).startswith(f"{target}: ")
    assert names(".") == ["a.png"]


def test_all_errors_share_one_base_class():
    for error in (UsageError, DeviceError, ImageError, OutputExistsError, Interrupted):
        assert issubclass(error, UpsampleError)


def test_every_row_is_reported_once():
    save("a.png", (37, 5))
    reported = []
    options = Options(factor=3, tile=8)
    enlarge_image(plan_job(Path("a.png"), options), options, on_rows=reported.append)
    assert sum(reported) == 37
    assert len(reported) == 5  # four bands of 8 rows and one of 5


@pytest.mark.parametrize("rows_before_stop", [0, 8, 30])
def test_a_stop_ends_the_image_at_the_next_band_and_leaves_no_output(rows_before_stop):
    save("a.png", (64, 5))
    stop, reported, options = threading.Event(), [], Options(tile=2)

    def on_rows(rows):
        reported.append(rows)
        if sum(reported) >= rows_before_stop:
            stop.set()

    if rows_before_stop == 0:
        stop.set()
    with pytest.raises(Interrupted):
        enlarge_image(plan_job(Path("a.png"), options, folder=Path("o")), options, stop=stop, on_rows=on_rows)
    assert sum(reported) == rows_before_stop
    assert names(".") == ["a.png"]
    assert Path("o").exists() == (rows_before_stop > 0)  # before the first row, not even the folder exists


def test_an_error_during_writing_leaves_no_output():
    save("a.png", (64, 5))
    options = Options(tile=2)

    def on_rows(rows):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enlarge_image(plan_job(Path("a.png"), options), options, on_rows=on_rows)
    assert names(".") == ["a.png"]


@pytest.mark.parametrize("change", [{"size": (5, 3)}, {"mode": "RGBA"}, {"mode": "L"}, {"is_jpeg": True}], ids=str)
def test_an_image_that_changed_after_planning_is_one_line(change):
    is_jpeg = change.pop("is_jpeg", False)
    size = change.pop("size", (11, 17))
    save("a.png", (11, 17))
    options = Options()
    job = plan_job(Path("a.png"), options)
    save("b.jpg" if is_jpeg else "a.png", size, seed=1, **change)
    if is_jpeg:
        Path("b.jpg").replace("a.png")
    with pytest.raises(InputChangedError, match=r"^a\.png: changed after the run was planned; start the run again$"):
        enlarge_image(job, options)
    assert Carrier().carry_out(job, options).failure.may_pass  # so a recorded failure is tried again by the next run
    assert names(".") == ["a.png"]


def test_an_image_with_only_changed_pixels_is_enlarged_with_its_new_pixels():
    save("a.png", (11, 17))
    options = Options()
    job = plan_job(Path("a.png"), options)
    save("a.png", (11, 17), seed=1)
    enlarge_image(job, options)
    assert_same_pixels(pixels_of("a_x2.png"), expected_pixels(pixels_of("a.png"), 2))
    Path("a.png").unlink()
    with pytest.raises(ImageError, match=r"^a\.png: no such file"):
        enlarge_image(job, Options(overwrite=True))


def test_options_document_every_field():
    documented = Options.__doc__.split("Args:")[1]
    for field in fields(Options):
        assert f"{field.name}:" in documented
        assert field.name in upsample_file.__doc__
