"""The kernels of another processor, cross-compiled and run under QEMU, in place of the compiled module."""

import shutil
import struct
import subprocess
import tomllib
from pathlib import Path

import numpy as np

from support.environment import TESTS

COMPILER, EMULATOR = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
NOT_EMULATED = "no cross compiler or no QEMU is installed"
UNTOUCHED = 77


def built(folder):
    """The path of the driver for 64-bit ARM, with the kernels compiled as the package compiles them."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    (module,) = project["tool"]["setuptools"]["ext-modules"]
    kernels = [TESTS.parent / source for source in module["sources"] if not source.endswith("module.cpp")]
    program = folder / "driver"
    flags = [*module["extra-compile-args"], "-static", "-I", kernels[0].parent]
    sources = [Path(__file__).with_name("driver.cpp"), *kernels]
    subprocess.run([COMPILER, *flags, "-o", program, *sources], check=True, timeout=250)
    return program


class EmulatedModule:
    """The functions of `_separable`, without their checks. Outputs have gaps between rows that must stay untouched."""

    def __init__(self, program):
        self._command = [EMULATOR, program]

    def lanes(self, instructions, sums):
        return int(self._run(instructions, "lanes", sums))

    def enlarge(self, instructions, padded, out, sums, *settings):
        *counts, divisor, multiplier, shift, has_alpha, overshoots = settings
        whole = [ord(sums), *(setting for setting in counts if not isinstance(setting, np.ndarray))]
        tables = [setting for setting in counts if isinstance(setting, np.ndarray)]
        head = struct.pack(f"={len(whole)}qd4q", *whole, divisor, multiplier, shift, has_alpha, overshoots)
        self._fill(out, instructions, "sums", head + b"".join(map(_sized, (padded, *tables))))

    def enlarge_twofold(self, instructions, padded, out):
        self._fill(out, instructions, "twofold", _sized(padded))

    def _fill(self, out, instructions, function, request):
        height, width, channels = out.shape
        row_bytes = width * channels * out.itemsize
        before = np.full((height, row_bytes + 64), UNTOUCHED, np.uint8)
        head = struct.pack("=5q", height, width, channels, out.itemsize, row_bytes + 64)
        made = self._run(instructions, function, data=head + _sized(before) + request)
        rows = np.frombuffer(made, np.uint8).reshape(before.shape)
        assert (rows[:, row_bytes:] == UNTOUCHED).all()
        out[...] = np.ascontiguousarray(rows[:, :row_bytes]).view(out.dtype).reshape(out.shape)

    def _run(self, *arguments, data=b""):
        command = [*self._command, *arguments]
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, timeout=100).stdout


def _sized(table):
    return struct.pack("=q", table.nbytes) + np.ascontiguousarray(table).tobytes()
