"""`-`: an image from standard input or to standard output, with processes connected by pipes."""

import io
import os
import pty
import re
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.oracles import hostile_pixels
from support.running import COMMAND, ENVIRONMENT, save, tree, upsample

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.images import streams
from upsample_cli.images.codecs.content import HEAD_BYTES
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.open import open_image

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def piped(*arguments, data=b"", **settings):
    """Run the command as a process with `data` on its standard input: (status, bytes of stdout, text of stderr)."""
    command = [*COMMAND, *arguments]
    settings = {"input": data, "stdout": subprocess.PIPE} | settings
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, env=ENVIRONMENT, timeout=120, **settings)
    return done.returncode, done.stdout, done.stderr.decode()


def test_piping_gives_the_same_image_as_files():
    """One format that is written sequentially, and one that is not; the control: another image."""
    save("a.png", (13, 19))
    save("b.png", (13, 19), seed=9)
    for output in ("whole.png", "whole.tif"):
        upsample("a.png", "-o", output)
    upsample("b.png", "-o", "other.png")
    files = tree(".")
    status, out, err = piped("-", data=files["a.png"])
    assert (status, out) == (0, files["whole.png"])
    assert out != files["other.png"]
    assert "standard input -> standard output  19x13 -> 38x26" in err
    assert piped("-", "--format", "tiff", "-q", data=files["a.png"]) == (0, files["whole.tif"], "")


def test_input_or_output_alone_may_be_a_pipe():
    save("a.png", (13, 19))
    upsample("a.png", "-o", "whole.png", "-f", "3")
    wanted = tree(".")["whole.png"]
    assert piped("a.png", "-f", "3", "-o", "-", "-q") == (0, wanted, "")
    status, out, err = piped("-", "-f", "3", "-o", "new folder/b.png", data=tree(".")["a.png"])
    assert (status, err) == (0, "")
    assert out.decode().startswith("standard input -> new folder/b.png  19x13 -> 57x39")
    assert tree(".")["new folder/b.png"] == wanted
    document = upsample("a.png", "-o", "-", "--json", "-n").document
    assert document["files"][0]["output"] == "-"
    assert document["files"][0]["status"] == "planned"


def test_16_bits_stay_exact_through_pipes():
    """The decoder maps files into memory, so a pipe must be spooled to a file first."""
    grey = hostile_pixels((11, 17, 1), np.uint16, 3)
    file = io.BytesIO()
    Image.fromarray(grey[..., 0]).save(file, "PNG")
    status, out, _ = piped("-", "-f", "1", "--format", "tiff", data=file.getvalue())
    assert status == 0
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(out))), grey[..., 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "a.png"], "stands alone; leave out the other inputs"),
        (["-", "-"], "stands alone; leave out the other inputs"),
        (["a.png", "b.png", "-o", "-"], "standard output takes one image"),
        ([".", "-o", "-"], "standard output takes one image"),
        (["a.png", "-o", "-", "--json"], "--json and the image would both be written to standard output"),
        (["-", "--json"], "--json and the image would both be written to standard output"),
        (["-", "-o", "."], "has no name to be given in a folder; give --output a file"),
        (["-", "-o", "out/", "--name", "x{ext}"], "has no name to be given in a folder; give --output a file"),
    ],
)
def test_options_that_conflict_with_a_pipe_are_refused(arguments, message):
    save("a.png")
    save("b.png")
    before = tree(".")
    status, out, err = piped(*arguments, data=before["a.png"])
    assert (status, out) == (2, b"")
    assert message in err
    assert err.count("\n") == 1
    assert tree(".") == before


@pytest.mark.skipif(os.name == "nt", reason="/dev/stdout")
def test_a_report_is_not_written_into_the_image_or_the_document():
    save("a.png")
    for first, what in ((["-o", "-"], "the image"), (["--json", "-o", "b.png"], "--json")):
        status, out, err = piped("a.png", *first, "--report", "/dev/stdout")
        assert (status, out) == (2, b"")
        assert err == (
            f"upsample: --report /dev/stdout is standard output, to which {what} is written; give it another name\n"
        )
        with open("same", "wb") as same:  # noqa: PTH123
            assert piped("a.png", *first, "--report", "same", stdout=same)[0] == 2
        assert Path("same").read_bytes() == b""
        assert not Path("b.png").exists()
    for more in (["--json", "--report", "r.jsonl"], ["--report", "/dev/stdout"], ["--json", "--report", os.devnull]):
        assert piped("a.png", "-o", "b.png", "--overwrite", *more)[0] == 0  # the control


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "-: is empty; check what is piped in"),
        (b"Dear diary", "-: is not an image"),
        (b"\xff\xd8\xff", "-: is truncated"),
    ],
)
def test_piped_data_that_is_not_an_image_is_one_line(data, message):
    status, out, err = piped("-", data=data)
    assert (status, out) == (1, b"")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_truncated_piped_image_writes_nothing():
    save("a.png", (40, 60))
    data = tree(".")["a.png"]
    status, out, err = piped("-", data=data[: len(data) // 2])
    assert (status, out) == (1, b"")
    assert err.startswith("error: -: is truncated")


@contextmanager
def terminal():
    first, second = pty.openpty()
    try:
        yield second
    finally:
        os.close(first)
        os.close(second)


def test_images_are_not_written_to_or_read_from_a_terminal():
    save("a.png")
    with terminal() as tty:
        status, _, err = piped("a.png", "-o", "-", stdout=tty)
        assert (status, err.split(";")[0]) == (2, "upsample: an image is not written to a terminal")
        status, _, err = piped("-", input=None, stdin=tty)
        assert (status, err.split(";")[0]) == (2, "upsample: - is standard input, and no image is piped in")
        assert piped("a.png", "-o", "-", "-n", stdout=tty)[0] == 0  # a plan is text


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_a_reader_that_closes_its_pipe_ends_the_command_silently(name):
    save("a.png", (200, 300))
    reading, writing = os.pipe()
    os.close(reading)
    status, _, err = piped("a.png", "-f", "4", "-o", "-", "--format", name, stdout=writing)
    os.close(writing)
    assert (status, err) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("name", ["png", "tiff"])
def test_a_full_disk_under_stdout_is_one_line(name):
    save("a.png")
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        status, _, err = piped("a.png", "-o", "-", "--format", name, stdout=full)
    assert status == 1
    assert err.startswith("error: -: cannot be written: the disk is full")
    assert err.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("variable", ["FORCE_COLOR", "UNUSED"])  # with the former, rich writes
def test_a_run_whose_standard_error_is_on_a_full_disk_goes_on(variable):
    save("in/a.png")
    for index in range(3):
        Path(f"in/{index}.png").write_bytes(b"?")
    settings = {"text": True, "env": ENVIRONMENT | {variable: "1"}, "timeout": 120}
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run([*COMMAND, "in", "-o", "out"], check=False, stdout=-1, stderr=full, **settings)
        lost = subprocess.run([*COMMAND, "in", "-o", "lost"], check=False, stdout=full, stderr=-1, **settings)
    words = [re.sub(r"\x1b\[\d*m", "", line).split()[:2] for line in done.stdout.splitlines()]
    assert (done.returncode, words) == (1, [["written", "1"], ["failed", "3"]])
    assert Path("out/a_x2.png").exists()
    assert lost.returncode == 1  # a control: results are not lost without a message
    assert "standard output cannot be written" in lost.stderr


@pytest.mark.parametrize(("stream", "is_printed"), [("None", True), ("open(os.devnull, 'w')", False)])
def test_any_name_can_be_printed_to_a_closed_stream(stream, is_printed):
    """The null device takes its place. With the local encoding, which on Windows lacks most names, it refuses them."""
    code = f"import os; from upsample_cli.cli.report.output import Output; Output({stream}).print('\\u5927.png')"
    environment = ENVIRONMENT | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode == 0, "UnicodeEncodeError" in ran.stderr) == (is_printed, not is_printed)


def test_a_file_named_dash_is_a_file():
    save("a.png")
    os.rename("a.png", "-")  # noqa: PTH104
    assert upsample("./-", "-o", "b.png").status == 0
    assert set(tree(".")) == {"-", "b.png"}


class Endless(io.RawIOBase):
    """A stream that never ends and counts the bytes read."""

    taken_bytes = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        buffer[:] = bytes(len(buffer))
        self.taken_bytes += len(buffer)
        return len(buffer)


def test_an_endless_stream_that_is_not_an_image_is_not_read_further():
    endless = Endless()
    with pytest.raises(ImageError, match=r"^-: is not an image"):
        streams.spooled(endless)
    assert endless.taken_bytes <= HEAD_BYTES


class EndlessImage(Endless):
    """An endless stream that begins like an image."""

    def readinto(self, buffer):
        super().readinto(buffer)
        if self.taken_bytes == len(buffer):
            buffer[:8] = b"\x89PNG\r\n\x1a\n"
        return len(buffer)


def test_an_endless_stream_that_begins_like_an_image_is_read_up_to_the_largest_image(monkeypatch):
    monkeypatch.setattr(streams, "MEMORY_BYTES", 3 << 20)
    endless = EndlessImage()
    line = r"^-: goes on after 4\.0 MiB, more than 65536 pixels take; add max_pixels if it is an image, or write it "
    with pytest.raises(ImageError, match=line):
        streams.spooled(endless, max_pixels=65536)
    assert 4 << 20 < endless.taken_bytes <= (4 << 20) + (2 << 20)
    whole = b"\x89PNG\r\n\x1a\n" + bytes((4 << 20) - 8)
    for length, is_taken in ((len(whole), True), (len(whole) + 1, False)):
        stream = io.BytesIO((whole + b"\0")[:length])
        with suppress(ImageError), streams.spooled(stream, max_pixels=65536) as file:
            assert file.seek(0, os.SEEK_END) == length
            assert is_taken
            continue
        assert not is_taken


def test_a_spooled_stream_takes_at_most_half_of_the_free_space(monkeypatch):
    monkeypatch.setattr(streams, "MEMORY_BYTES", 1 << 20)
    monkeypatch.setattr(streams, "free_bytes", lambda _folder: 4 << 20)
    endless = EndlessImage()
    full = r"\(it takes more than half of the 4\.0 MiB that are free\); free some space"
    line = rf"^-: cannot be kept in the folder for temporary files {full}"
    with pytest.raises(ImageError, match=line):
        streams.spooled(endless)
    assert endless.taken_bytes <= 5 << 20
    # If the free space is unknown, the other limit holds.
    monkeypatch.setattr(streams, "free_bytes", lambda _folder: None)
    with pytest.raises(ImageError, match="goes on after"):
        streams.spooled(EndlessImage(), max_pixels=10)


def test_a_large_stream_is_spooled_to_disk_and_a_small_one_stays_in_memory(monkeypatch):
    save("a.bmp", (30, 50))
    data = tree(".")["a.bmp"]
    monkeypatch.setattr(streams, "MEMORY_BYTES", len(data) - 1)
    for extra, on_disk in ((b"", True), (None, False)):
        if extra is None:
            monkeypatch.setattr(streams, "MEMORY_BYTES", len(data))
        with streams.spooled(io.BytesIO(data)) as file, open_image("a.bmp") as wanted:
            assert file._rolled == on_disk
            with open_image(file) as source:
                np.testing.assert_array_equal(source.read_rows(0, 30), wanted.read_rows(0, 30))


def test_only_png_is_written_to_a_pipe_before_it_is_complete():
    """Any other format is collected first, so an error leaves the pipe empty."""
    for fmt in FORMATS.values():
        pipe = io.BytesIO()
        with suppress(RuntimeError), streams.piped_file(pipe, fmt) as file:
            file.write(b"head")
            raise RuntimeError
        assert pipe.getvalue() == (b"head" if fmt.name == "png" else b"")
        with streams.piped_file(pipe, fmt) as file:
            file.write(b"whole")
        assert pipe.getvalue().endswith(b"whole")


def test_an_image_to_a_closed_stdout_is_an_error():
    with pytest.raises(UsageError, match="standard output is closed"):
        streams.image_pipe(None)
