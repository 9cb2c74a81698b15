"""`tconv shape` used by people and scripts: in a new process, and through the same entry point in this process."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.main import get_command

import upsample_cli
from upsample_cli.cli import tconv
from upsample_cli.cli.spelling import option
from upsample_cli.cli.upsample import app as upsample_app
from upsample_cli.errors import Setting

K3S2P1 = ("--kernel-size", "3", "--stride", "2", "--padding", "1")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS")}


def as_process(*arguments, stderr=subprocess.PIPE, **environment):
    """Run `tconv` in a new process."""
    return subprocess.run(
        [sys.executable, "-c", "from upsample_cli.cli.tconv import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        check=False,
        timeout=60,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8", **environment},
    )


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    """Run `tconv` in this process: (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tconv", *arguments])
        with pytest.raises(SystemExit) as leaving:
            tconv.main()
        printed = capsys.readouterr()
        return leaving.value.code, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("arguments", "sizes", "output"),
    [
        # textbook cases
        (("50", *K3S2P1), [50], [99]),
        (("50x100", *K3S2P1, "--output-padding", "1"), [50, 100], [100, 200]),
        (("10x50x100", *K3S2P1, "--output-padding", "0,1,1"), [10, 50, 100], [19, 100, 200]),
        (("256x256", "--factor", "2"), [256, 256], [512, 512]),
        (("2x2", "--kernel-size", "2"), [2, 2], [3, 3]),
        (("2x2", "--kernel-size", "2", "--padding", "1"), [2, 2], [1, 1]),
        (("2x2", "--kernel-size", "2", "--stride", "2"), [2, 2], [4, 4]),
        (("3x3", "--conv", "--kernel-size", "2"), [3, 3], [2, 2]),
        (
            ("16x16", "Conv2d(10,20,5,padding=2,stride=3)", "ConvTranspose2d(20,10,5,padding=2,stride=3)"),
            [16, 16],
            [16, 16],
        ),
        (
            ("17x18", "Conv2d(10,20,5,3,2)", "ConvTranspose2d(20,10,5,3,2,output_padding=(1, 2))"),
            [17, 18],
            [17, 18],
        ),
        # every option, one number or one per axis
        (("9x7", "--kernel-size", "3,2", "--stride", "2", "--padding", "1,0", "--dilation", "1,3"), [9, 7], [17, 16]),
        (("9x7", "--conv", "--kernel-size", "3", "--padding", "same", "--dilation", "2"), [9, 7], [9, 7]),
        (("9x7", "--conv", "--kernel-size", "3", "--padding", "valid"), [9, 7], [7, 5]),
        (("9x7", "--factor", "2,3"), [9, 7], [18, 21]),
        (("7", "nn.Conv1d(1, 1, 3)", "torch.nn.ConvTranspose1d(1, 1, 3)"), [7], [7]),
    ],
)
def test_sizes_in_json_and_in_the_table(arguments, sizes, output, tconv_here):
    status, out, err = tconv_here("shape", *arguments, "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert (document["input"], document["output"]) == (sizes, output)
    status, out, err = tconv_here("shape", *arguments)
    assert (status, err) == (0, "")
    result = f"{'x'.join(map(str, sizes))} -> {'x'.join(map(str, output))}"
    assert out.splitlines()[0].split(",")[0] == result
    for size in output:
        assert f"= {size}\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("50",), "no layer is described; add --kernel-size N, --factor S, --file PATH, or layers as PyTorch writes"),
        (
            ("50", "--stride", "2"),
            "no layer is described; add --kernel-size N, --factor S, --file PATH, or layers as PyTorch",
        ),
        (
            ("50", *K3S2P1, "--output-padding", "2"),
            "ConvTranspose1d: output_padding 2 must be smaller than stride 2 or dilation 1; use 0 to 1",
        ),
        (("50x0", "--factor", "2"), "ConvTranspose2d: width: size 0 is too small; use 1 or more"),
        (("50", "--factor", "0"), "factor 0 is too small; use 1 or more"),
        (
            ("50", "--factor", "1.5"),
            "--factor 1.5 is not a whole number; write --factor 3, or one number per axis: --factor 3,2",
        ),
        (("50", "--kernel-size", "-3"), "ConvTranspose1d: kernel_size -3 is too small; use 1 or more"),
        (
            ("50", "--kernel-size", "x"),
            "--kernel-size x is not a whole number; write --kernel-size 3, or one number per",
        ),
        (("50", "--kernel-size", "3", "--padding", "same"), "ConvTranspose1d: padding 'same' is not a whole number;"),
        (("50x9", "--kernel-size", "3", "--stride", "1,2,3"), "ConvTranspose2d: stride has 3 numbers for 2 axes; give"),
        (("50x9", "--kernel-size", "3,3,3"), "kernel_size has 3 numbers for 2 axes; give one number"),
        (("50", "--factor", "2", "--conv"), "--factor and --conv cannot be combined; describe the layers in one of"),
        (("50", "Conv1d(1, 1, 3)", "--stride", "2"), "layers and --stride cannot be combined; describe the layers in"),
        (("50", "Conv1d(1, 1, 3)", "--factor", "2"), "layers and --factor cannot be combined; describe the layers in"),
        (
            ("50", "--conv", "--kernel-size", "3", "--output-padding", "1"),
            "an ordinary convolution has no output_padding; leave out --conv or --output-padding",
        ),
        (("2x3x4x5", "--factor", "2"), "there is no ConvTranspose4d; a size has 1 to 3 axes: 50, 50x100 or 10x50x100"),
        (("9" * 25, "--factor", "2"), "ConvTranspose1d: size is too large; no axis of a tensor can be longer than"),
        (
            ("photo.jpg", "--factor", "2"),
            "'photo.jpg' is neither a size nor a file; write 50, 50x100, 10x50x100 or the",
        ),
        (("[red]x[/red]", "--factor", "2"), "'[red]x[/red]' is neither a size nor a file; write 50"),
        (("Conv1d(1, 1, 3)", "50"), "'Conv1d(1, 1, 3)' is neither a size nor a file; SIZE comes before the layers"),
        (("a" * 4096, "--factor", "2"), f"'{'a' * 4096}' is neither a size nor a file; write 50"),
        (("50", "os.system('true')"), "os.system('true'): the layer os.system is unknown; known are Conv1d, Conv2d"),
        (
            ("50", "Conv1d(1,1,3)\n\x1b[31m"),
            r"line 2, '\x1b[31m': this is not a model as PyTorch prints it; give nn.Sequential(...)",
        ),
    ],
)
def test_invalid_arguments_exit_with_2_and_one_line(arguments, message, tconv_here):
    status, out, err = tconv_here("shape", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"tconv: {message}")
    assert err.count("\n") == 1


def test_the_size_of_an_image_is_its_upright_height_and_width(tconv_here, tmp_path):
    path = tmp_path / "a [bold] ü.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: on its side, so 17 wide and 11 high is displayed as 11 wide and 17 high
    Image.new("RGB", (17, 11)).save(path, exif=exif)
    status, out, err = tconv_here("shape", str(path), "--factor", "3", "--json")
    assert (status, err) == (0, "")
    assert (json.loads(out)["input"], json.loads(out)["output"]) == ([17, 11], [51, 33])


def test_a_file_that_is_not_an_image_is_one_line_and_status_1(tconv_here, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    status, out, err = tconv_here("shape", str(path), "--factor", "3")
    assert (status, out) == (1, "")
    assert err.startswith("tconv: ")
    assert "broken.png" in err
    assert err.count("\n") == 1


# In a new process


def test_results_go_to_stdout_and_messages_to_stderr():
    result = as_process("shape", "50", *K3S2P1)
    assert (result.returncode, result.stderr) == (0, "")
    assert "(50-1)*2 - 2*1 + 1*(3-1) + 0 + 1 = 99" in result.stdout
    assert result.stdout.startswith("50 -> 99\n")
    result = as_process("shape", "0", *K3S2P1)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "tconv: ConvTranspose1d: size 0 is too small; use 1 or more\n"


def test_piped_output_is_neither_truncated_nor_coloured():
    layer = "ConvTranspose2d(16, 33, kernel_size=3, stride=2, padding=1, output_padding=1, dilation=2)"
    for environment in ({}, {"COLUMNS": "40"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}):
        out = as_process("shape", "1234567x7654321", layer, **environment).stdout
        assert any(
            line.startswith("ConvTranspose2d(16, 33, 3, 2, 1, 1, dilation=2)  2469") for line in out.splitlines()
        )
        assert "\nheight: (1234567-1)*2 - 2*1 + 2*(3-1) + 1 + 1 = 2469136\n" in out
        assert "\x1b[3" not in out


def test_ascii_is_used_if_the_encoding_has_no_box_characters():
    out = as_process("shape", "50x100", "--factor", "2", PYTHONIOENCODING="ascii").stdout
    assert out.isascii()
    assert out.startswith("50x100 -> 100x200\n")


@pytest.mark.parametrize("arguments", [("--version",), ("-h",), ("--help",), ("shape", "-h"), ("shape", "--help")])
def test_help_and_version_go_to_stdout(arguments):
    result = as_process(*arguments, COLUMNS="100")
    assert (result.returncode, result.stderr) == (0, "")
    if arguments == ("--version",):
        assert result.stdout == f"tconv {upsample_cli.__version__}\n"
    else:
        assert "Usage: tconv" in result.stdout
    if "shape" in arguments:
        examples = [line.strip() for line in result.stdout.splitlines() if line.strip().startswith("tconv shape")]
        assert len(examples) == 12
        assert 'tconv shape 50x100 "ConvTranspose2d(16, 33, 3, 2)" "Conv2d(33, 8, 3)"' in examples


@pytest.mark.parametrize(
    ("arguments", "ending"),
    [
        (("shape", "50", "--nope"), "; see tconv shape --help\n"),
        (("nope",), "; see tconv --help\n"),
        (("shape", "-5"), "; see tconv shape --help\n"),
    ],
)
def test_an_invalid_command_line_is_status_2_and_one_line(arguments, ending):
    result = as_process(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("tconv: ")
    assert result.stderr.endswith(ending)
    assert result.stderr.count("\n") == 1


def test_a_command_without_required_arguments_prints_its_help_with_status_2():
    result = as_process("shape")
    assert (result.returncode, result.stderr) == (2, "")
    assert "Usage: tconv shape" in result.stdout


HEAVY = """
import sys
from upsample_cli.cli.tconv import main
for line in ("", "-h", "shape -h", "shape 50 --factor 2", "shape 9 Conv1d(1,1,3) --json", "shape 0 --factor 2",
             "solve --from 3 --to 6", "invert Conv1d(1,1,3) --size 9",
             "translate ConvTranspose1d(1,1,3) --to keras", "translate Conv1DTranspose(1,3) --from keras"):
    arguments = line.split()
    sys.argv = ["tconv", *arguments]
    try:
        main()
    except SystemExit:
        pass
{more}
print("heavy:", sorted({{"torch", "numpy", "PIL", "torchvision"}} & set(sys.modules)))
"""


def test_shape_imports_neither_torch_nor_numpy_nor_pillow():
    """The control: the same check detects each of them after an import."""
    for more, expected in (("", "heavy: []"), ("import numpy", "heavy: ['numpy']")):
        command = [sys.executable, "-c", HEAVY.format(more=more)]
        result = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=ENVIRONMENT)
        assert result.stdout.splitlines()[-1] == expected


CURED = ("checkerboard", "--weights", "w.npy", "--stride", "2", "--cure", "sums", "-o", "new.npy", "--picture")


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        ((*CURED, "m.jpg"),
         "m.jpg: the image is a PNG; give a name that ends in .png"),
        ((*CURED, "is.png"),
         "is.png: exists already; add --overwrite to replace it"),
        (("kernel", "--factor", "2", "-o", "new.npy", "-o", "is.npy"),
         "is.npy: exists already; add --overwrite to replace it"),
        (("kernel", "--factor", "2", "-o", "new.npy", "-o", "gone/x.npy"),
         "gone/x.npy: cannot be written: its folder does not exist; create it, or give another --output"),
    ],
)  # fmt: skip
def test_neither_of_two_outputs_is_written_if_one_is_refused(
    arguments, expected_text, tconv_here, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    np.save("w.npy", np.ones((1, 1, 3, 3), np.float32))
    for name in ("is.png", "is.npy"):
        Path(name).touch()
    status, out, err = tconv_here(*arguments)
    assert (status != 0, out, err) == (True, "", f"tconv: {expected_text}\n")
    assert not Path("new.npy").exists()


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (("explain", "--picture", "gone/x.png"),
         "gone/x.png: cannot be written: its folder does not exist; create it, or give another --picture"),
        (("explain", "--picture", "folder.png"), "folder.png: is a folder; remove it, or give another --picture"),
        (("checkerboard", "--kernel-size", "3", "--picture", "folder.png"),
         "folder.png: is a folder; remove it, or give another --picture"),
        (("kernel", "--factor", "2", "-o", "folder.npy"),
         "folder.npy: is a folder; remove it, or give another --output"),
        (("shape", "large.pgm", "--factor", "2"),
         "large.pgm: 30000×30000 is 900000000 pixels, more than the limit of 500000000"),
        (("run", "large.pgm", "--factor", "2", "-o", "new.png"),
         "large.pgm: 30000×30000 is 900000000 pixels, more than the limit of 500000000"),
        (("info", "large.pgm"),
         "large.pgm: 30000×30000 is 900000000 pixels, more than the limit of 500000000; "
         "add --max-pixels 900000000 if you trust the file"),
    ],
)  # fmt: skip
def test_advice_names_only_options_that_the_command_has(arguments, expected_text, tconv_here, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder.png", "folder.npy"):
        Path(folder).mkdir()
    Path("large.pgm").write_bytes(b"P5 30000 30000 255\n")
    status, out, err = tconv_here(*arguments)
    assert (status != 0, out, err) == (True, "", f"tconv: {expected_text}\n")


def test_a_skipped_photograph_gets_no_advice_about_missing_options(tconv_here, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("large.pgm").write_bytes(b"P5 30000 30000 255\n")
    Image.effect_noise((200, 200), 50).save("good.png")
    status, _, err = tconv_here("fit", "large.pgm", "good.png")
    assert status == 0
    assert err == ("warning: skipped: large.pgm: 30000×30000 is 900000000 pixels, more than the limit of 500000000\n")


def test_every_advised_setting_is_an_option_of_upsample_or_of_its_tconv_command():
    """Otherwise the advice would be dropped everywhere."""
    named = {
        name
        for path in Path(upsample_cli.__file__).parent.rglob("*.py")
        for name in re.findall(r'Setting\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    flags = {flag for one in get_command(upsample_app).params for flag in (*one.opts, *one.secondary_opts)}
    only_of_tconv = {"axes", "channels", "conv", "crop", "cure", "depthwise", "kernel_size"}
    only_of_tconv |= {"in_order", "let", "measure", "net", "noise", "part", "steps", "stride", "support", "weights"}
    assert {name for name in named if option(Setting(name)) not in flags} == only_of_tconv


def test_the_hint_of_solve_mentions_several_values(tconv_here):
    _, _, err = tconv_here("solve", "--from", "3", "--to", "7", "--kernel-size", "3x")
    assert "write --kernel-size 3, or several values to try: --kernel-size 3,2\n" in err


@pytest.mark.parametrize("stdin", [None, "closed"])
def test_a_closed_standard_input_is_one_line(stdin, tconv_here, monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdin", stdin and stream)
    status, out, err = tconv_here("shape", "5", "--file", "-")
    assert (status, out) == (2, "")
    assert err == "tconv: --file -: standard input is closed; pipe a text with layers in, or give its path\n"


@pytest.mark.parametrize("text", ["101x201", "101,201", "101X201", "101 x 201", "101\u00d7201"])
def test_sizes_per_axis_may_be_written_with_commas_or_x(text, tconv_here):
    line = ("shape", "51x101", "--kernel-size", "3x3", "--stride", "2", "--padding", "1")
    status, out, err = tconv_here(*line, "--output-size", text, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["output"] == [101, 201]
    assert tconv_here(*line, "--output-size", "101x201x3")[0] == 2
    assert tconv_here(*line, "--output-size", "101y201")[0] == 2
    assert tconv_here("solve", "--from", "7", "--to", "14", "--kernel-size", "3x4")[0] == 2  # the control: no axes here


@pytest.mark.parametrize("name", ["m = ", "self.up1 = ", "(0): ", "(up): ", "m=torch.", "  m = "])
def test_the_name_of_a_layer_is_ignored(name, tconv_here, tmp_path):
    layer = f"{name}nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1)"
    if name.startswith("("):
        layer = layer.replace("nn.", "")
    bare = "ConvTranspose1d(1, 1, kernel_size=4, stride=2, padding=1)"
    assert json.loads(tconv_here("shape", "9", layer, "--json")[1])["layers"][0]["layer"] == bare
    assert json.loads(tconv_here("invert", layer, "--size", "9", "--json")[1])["sizes"][0]["smallest"] == [18]
    assert json.loads(tconv_here("checkerboard", layer, "--json")[1])["layer"] == bare
    assert tconv_here("translate", layer, "--to", "keras")[1] == tconv_here("translate", bare, "--to", "keras")[1]
    np.save(tmp_path / "in.npy", np.arange(9.0))
    assert tconv_here("run", str(tmp_path / "in.npy"), layer, "-o", str(tmp_path / "out.npy"))[0] == 0
    model = f"net = nn.Sequential({bare}, nn.ReLU())"
    assert json.loads(tconv_here("shape", "9", model, "--json")[1])["output"] == [18]
    assert tconv_here("shape", "9", "m == nn.Conv1d(1, 1, 3)")[0] == 2  # the control


def test_typer_does_not_refuse_files_without_the_right_to_read(tconv_here, tmp_path, monkeypatch):
    """An output need not be readable, and an unreadable input is an error about the file (1), not about usage (2)."""
    output = tmp_path / "layer.json"
    output.touch()
    monkeypatch.setattr(os, "access", lambda *_args, **_named: False)
    status, _, err = tconv_here("kernel", "-f", "2", "-o", str(output))
    assert (status, err) == (1, f"tconv: {output}: exists already; add --overwrite to replace it\n")
    assert tconv_here("kernel", "-f", "2", "-o", str(output), "--overwrite")[0] == 0

    def checked(command):
        return [one.name for one in command.params if getattr(one.type, "readable", False)]

    commands = get_command(tconv.app)
    assert [found for name in tconv.COMMANDS for found in checked(commands.get_command(None, name))] == []
    control = typer.Typer()

    @control.command()
    def _of_a_path(photo: Path) -> None: ...

    assert checked(get_command(control)) == ["photo"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_command_whose_warnings_go_to_a_full_disk_goes_on(tmp_path):
    Image.new("L", (9, 8)).save(tmp_path / "odd.png")
    arguments = ["compare", str(tmp_path / "odd.png"), "--rounds", "0", "--kernels", "bilinear", "--json"]
    expected = as_process(*arguments)
    assert (expected.returncode, expected.stderr.startswith("warning: ")) == (0, True)
    with Path("/dev/full").open("w") as full:
        found = as_process(*arguments, stderr=full)
    assert (found.returncode, found.stdout) == (0, expected.stdout)
