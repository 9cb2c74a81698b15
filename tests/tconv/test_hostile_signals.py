"""Sounds, arrays and weights with false claims end in one line each, before they take memory or time."""

import json
import os
import struct
import sys
import time

import numpy as np
import pytest
import tifffile
import torch
from support.commands import call

from upsample_cli.errors import ImageError, UsageError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.images.codecs.tiff import stack
from upsample_cli.tconv.checkerboard_weights import gains
from upsample_cli.tconv.run import request
from upsample_cli.tconv.run.apply import apply
from upsample_cli.tconv.run.filled import weighted
from upsample_cli.tconv.run.signals import read_npy, read_wav

GIB = 2**30


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def wav(*, channels=1, rate=8000, bits=16, says=None, content=bytes(64)):
    """A WAV file whose header may claim any length."""
    length = len(content) if says is None else says
    frame = channels * ((bits + 7) // 8)
    form = struct.pack("<HHIIHH", 1, channels, rate, min(rate * frame, 2**32 - 1), frame % 2**16, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", length) + content
    return b"RIFF" + struct.pack("<I", min(length + 36, 2**32 - 1)) + chunks


def npy(shape, described="<f4"):
    header = repr({"descr": described, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def sparse(name, head, length=8 * GIB):
    """A file with a real length that takes almost no disk space."""
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(head)
        file.truncate(length)


def written(name, content):
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(content)


def large_stack(name):
    """A volume that expands to 1000 times its size."""
    with tifffile.TiffWriter(name) as file:
        file.write(np.zeros((64, 1024, 1024), np.uint8), compression="zlib", photometric="minisblack")


SIGNALS = {
    "long.wav": (lambda: sparse("long.wav", wav(says=2**32 - 2**10), 4 * GIB), "more than 536870912 samples"),
    "bits.wav": (lambda: written("bits.wav", wav(bits=64)), "has samples of 64 bits"),
    "wide.wav": (lambda: written("wide.wav", wav(channels=65535, content=bytes(131070))), "too much for a WAV"),
    "fast.wav": (lambda: written("fast.wav", wav(rate=2**32 - 1)), "the result is too much for a WAV file"),
    "none.wav": (lambda: written("none.wav", wav(channels=0)), "is not PCM sound"),
    "pipe.wav": (lambda: os.mkfifo("pipe.wav"), "is not a regular file"),
    "long.npy": (lambda: sparse("long.npy", npy((2**31,))), "it has 2147483648 numbers"),
    "lies.npy": (lambda: written("lies.npy", npy((2**28,))), "it ends before its last number"),
    "axes.npy": (lambda: written("axes.npy", npy((1,) * 3000)), "is not an array"),
    "objects.npy": (lambda: written("objects.npy", npy((1,), "|O")), "it holds no plain numbers"),
    "words.npy": (lambda: sparse("words.npy", npy((1,), "|S2147483647")), "it holds no plain numbers"),
    "pipe.npy": (lambda: os.mkfifo("pipe.npy"), "is not a regular file"),
    "pipe.tif": (lambda: os.mkfifo("pipe.tif"), "is not a regular file"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and sparse files")
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_with_false_claims_is_one_line(name, capsys, monkeypatch):
    make, message = SIGNALS[name]
    make()
    begun = time.process_time()
    status, printed, line = call(capsys, monkeypatch, "run", name, "--factor", "2", "-o", f"out{name[-4:]}")
    assert time.process_time() - begun < 5
    assert (printed, line.count("\n")) == ("", 1)
    assert status in (1, 2)
    assert message in line
    assert not os.path.exists(f"out{name[-4:]}")  # noqa: PTH110


def test_a_signal_with_true_claims_is_read(capsys, monkeypatch):
    """The control: with true claims the same header is read."""
    written("a.wav", wav())
    written("a.npy", npy((16,)) + bytes(64))
    assert call(capsys, monkeypatch, "run", "a.wav", "--factor", "2", "-o", "b.wav")[0] == 0
    assert call(capsys, monkeypatch, "run", "a.npy", "--factor", "2", "-o", "b.npy")[0] == 0
    assert len(np.load("b.npy")) == 32


def test_the_sizes_of_a_volume_and_a_result_are_checked_in_advance(capsys, monkeypatch):
    large_stack("a.tif")
    monkeypatch.setattr(stack, "MAX_STACK_BYTES", 2**25)
    monkeypatch.setattr(request, "MOST_SAMPLES", 17)
    status, _, line = call(capsys, monkeypatch, "run", "a.tif", "--factor", "2", "-o", "b.tif")
    assert (status, "more than 32.0 MiB" in line) == (1, True)
    np.save("a.npy", np.zeros(8, np.float32))
    assert call(capsys, monkeypatch, "run", "a.npy", "--factor", "2", "-o", "b.npy")[0] == 0
    np.save("a.npy", np.zeros(9, np.float32))
    status, _, line = call(capsys, monkeypatch, "run", "a.npy", "--factor", "2", "-o", "c.npy")
    assert (status, line.startswith("tconv: the result has more than 17 samples")) == (2, True)


def test_a_kernel_whose_smallest_tile_exceeds_the_memory_is_refused():
    axes = [LayerAxis(64, transposed=True)] * 3
    with pytest.raises(UsageError, match="the kernel is too large for this machine's memory"):
        apply(weighted(axes, np.zeros((1, 1, 64, 64, 64))), np.zeros((1, 9, 9, 9)))


def test_too_many_phases_to_measure_are_refused():
    weight = np.zeros((64, 64, 3, 3))
    assert gains(weight, [LayerAxis(3, 64, transposed=True), LayerAxis(3, 64, transposed=True)]).is_even
    with pytest.raises(UsageError, match="65536 phases of 64x64 channels are too many to measure"):
        gains(weight, [LayerAxis(3, 256, transposed=True), LayerAxis(3, 256, transposed=True)])
    with pytest.raises(UsageError, match="16777216 phases of 1x1 channels"):
        gains(np.zeros((1, 1, 1, 1, 1)), [LayerAxis(1, 256, transposed=True)] * 3)


@pytest.mark.parametrize("command", ["run", "checkerboard"])
@pytest.mark.parametrize("bias", [torch.tensor([float("nan")]), torch.tensor(1.0), torch.zeros(1).expand(2**40)])
def test_a_hostile_bias_is_one_line_in_every_command(command, bias, capsys, monkeypatch):
    torch.save({"up.weight": torch.ones(1, 1, 4), "up.bias": bias}, "up.pt")
    np.save("a.npy", np.zeros(9, np.int16))
    more = ("a.npy", "-o", "b.npy") if command == "run" else ()
    status, printed, line = call(capsys, monkeypatch, command, *more, "--weights", "up.pt", "--stride", "2")
    assert (status, printed, line.count("\n")) == (1, "", 1)
    assert "up.bias" in line


def test_the_weight_of_the_largest_factor_is_written_quickly(capsys, monkeypatch):
    begun = time.process_time()
    status, printed, _ = call(capsys, monkeypatch, "kernel", "--factor", "64", "--kernel", "lanczos3", "--json")
    assert (status, len(json.loads(printed)["kernel"])) == (0, 384**2)
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.wav", None, "not-found"),
        ("a.npy", None, "not-found"),
        ("a.wav", b"RIFF", "damaged"),
        ("a.wav", b"RIFF\x04\0\0\0AVI ", "unsupported"),
        ("a.npy", b"nothing", "damaged"),
    ],
)
def test_each_fault_of_a_signal_has_its_code(name, content, kind, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as refusal:
        read_wav(path) if name.endswith("wav") else read_npy(path, None)
    assert refusal.value.failure.kind == kind
