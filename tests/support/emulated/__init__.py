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
DRIVER = Path(__file__).with_name("driver.cpp")
UNTOUCHED, GAP = 77, 64  # bytes after each row


def built(folder):
    """The path of the driver for 64-bit ARM, with the kernels compiled as the package compiles them."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    modules = project["tool"]["setuptools"]["ext-modules"]
    (module,) = (module for module in modules if module["name"].endswith("._kernels"))
    (kernels,) = (TESTS.parent / source for source in module["sources"] if "neon" in source)
    program = folder / "driver"
    flags = [*module["extra-compile-args"], "-static", "-I", kernels.parent, "-DKERNELS=neon_kernels"]
    subprocess.run([COMPILER, *flags, "-o", program, DRIVER, kernels], check=True, timeout=600)
    return program


class EmulatedModule:
    """The functions of `_kernels` for NEON, without their checks. Gaps between rows must stay untouched."""

    def __init__(self, program):
        self._command = [EMULATOR, program]

    def enlarge(self, _instructions, padded, out, sums, factor, taps, window, firsts, weights, divisor, *rest):
        head = ord(sums), factor, taps, window, float(divisor), *rest
        self._enlarge("enlarge", out, head, (padded, firsts, weights))

    def enlarge_sums(self, _instructions, padded, out, pixel_bytes, factor, taps, window, firsts, weights, has_alpha):
        height, width, channels = out.shape
        tile = (height // factor, width // factor, _row_bytes(out) + GAP, channels, factor, taps, window)
        head = struct.pack("=10q", pixel_bytes, out.itemsize, *tile, has_alpha)
        self._run("sums", out, head, (padded, firsts, weights))

    def enlarge_twofold(self, _instructions, padded, out, has_alpha):
        none = np.zeros(1, np.int32)  # no table
        self._enlarge("twofold", out, (0, 2, 2, 3, 1.0, *[0] * 4, has_alpha, 0, 0), (padded, none, none))

    def resample(self, _instructions, rows, *settings):
        source_rows, source_width, out, row_taps, column_taps, row_firsts, row_weights, *others = settings
        column_firsts, column_weights, divisor, rounding, has_alpha, is_summed = others
        bits, near, colour_near, *levels, is_short = rounding
        height, width, channels = out.shape
        sizes = (height, width, _row_bytes(out) + GAP, channels, source_rows, source_width, row_taps, column_taps)
        whole = bits, near, colour_near, is_short, has_alpha, is_summed
        head = struct.pack("=9q5d6q", out.itemsize, *sizes, float(divisor), *levels, *whole)
        self._run("resample", out, head, (rows, row_firsts, row_weights, column_firsts, column_weights))

    def net_detail(self, luma, layers, weight, offset, out, _instructions):
        height, width, outputs = out.shape
        head = struct.pack("=6q", height, width, luma.shape[1], weight.shape[1], len(layers), outputs)
        tables = (luma, weight, offset, *(table for layer in layers for table in layer))
        self._run("net_detail", out.reshape(1, -1, outputs), head, tables)

    def net_combine(self, pixels, linear, detail, bits, out, _instructions):
        height, width, _ = detail.shape
        channels, factor = out.shape[2], len(out) // height
        row_bytes = pixels.shape[1] * channels * pixels.itemsize
        sizes = (height, width, row_bytes, channels, factor, _row_bytes(out) + GAP, bits)
        self._run("net_combine", out, struct.pack("=8q", out.itemsize, *sizes), (pixels, linear, detail))

    def _enlarge(self, function, out, settings, tables):
        sums, factor, *others = settings
        height, width, channels = out.shape
        tile = (out.itemsize, sums, height // factor, width // factor, _row_bytes(out) + GAP, channels, factor)
        self._run(function, out, struct.pack("=9qd7q", *tile, *others), tables)

    def _run(self, function, out, head, tables):
        row_bytes = _row_bytes(out)
        memory = np.full((len(out), row_bytes + GAP), UNTOUCHED, np.uint8)
        request = head + b"".join(map(_sized, (memory, *tables)))
        command = [*self._command, function]
        made = subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True, timeout=100).stdout
        rows = np.frombuffer(made, np.uint8).reshape(memory.shape)
        assert (rows[:, row_bytes:] == UNTOUCHED).all()
        out[...] = np.ascontiguousarray(rows[:, :row_bytes]).view(out.dtype).reshape(out.shape)


def _row_bytes(out):
    return out.shape[1] * out.shape[2] * out.itemsize


def _sized(table):
    return struct.pack("=q", table.nbytes) + np.ascontiguousarray(table).tobytes()
