"""Memory in flight: the estimate compared with real processes, the limit, and the available memory."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.corpus import ICC
from support.jobs import job_of

from upsample_cli.batch import memory
from upsample_cli.batch.memory import Admission, budget_bytes, job_bytes, worker_count
from upsample_cli.engine import available
from upsample_cli.engine.available import available_bytes
from upsample_cli.enlarge.options import Options
from upsample_cli.images.model import Frames, Layout

MEASURE = """
import json, os, sys
from fractions import Fraction
from pathlib import Path
from upsample_cli.batch.carry import Carrier
from upsample_cli.batch.memory import job_bytes
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import plan_job

def field(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

def peak(source, extension, factor=2, kernel="bilinear"):
    options, _ = Carrier().prepare(Options(format=extension, device="cpu", factor=factor, kernel=kernel), 0)
    job = plan_job(Path(source), options, folder=Path("out"))
    Path("/proc/self/clear_refs").write_text("5")
    result = Carrier().carry_out(job, options)
    assert result.status == "written", result
    return field("VmHWM") - base, job_bytes(job)

ENCODED = ("8.png gif", "8.png avif", "subsampled.jpg avif", "8.png jxl", "jpg jxl", "profile.jpg jxl")
base, HELD = 0, ("lossy.webp", "progressive.jpg", "ink.jpg", "strip.tif")
for extension in ("png", "tiff", "jpg", "bmp"):
    for suffix in ("jpg", "16.png"):
        peak(f"small.{suffix}", extension)
for suffix in HELD:
    peak(f"small.{suffix}", "png")
for suffix in ("8.png", "jpg"):
    peak(f"small.{suffix}", "webp", 1)
for case in ENCODED:
    peak("small." + case.split()[0], case.split()[1], 1)
peak("small.jpg", "tiff", Fraction(3, 2), "lanczos3")
base = field("VmRSS")
cases = [(suffix, extension) for extension in ("png", "tiff", "jpg", "bmp") for suffix in ("jpg", "16.png")]
found = {" ".join(case): peak(f"large.{case[0]}", case[1]) for case in cases}
found |= {f"{suffix} png": peak(f"large.{suffix}", "png", 1) for suffix in HELD}
found |= {f"{suffix} webp": peak(f"large.{suffix}", "webp", 1) for suffix in ("8.png", "jpg")}
found |= {case: peak("large." + case.split()[0], case.split()[1], 1) for case in ENCODED}
found["reduced"] = peak("large.tif", "tiff", Fraction(5, 4), "lanczos3")
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset the peak memory of a process"
)
def test_the_estimate_is_within_a_factor_of_two_of_the_measured_memory(tmp_path):
    """Below 32 MiB the allocator dominates, so 32 MiB are added on both sides."""
    generator = np.random.default_rng(0)
    for name, size in (("small", (31, 47)), ("large", (2003, 3001))):
        pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg", quality=50)
        Image.fromarray(pixels).save(tmp_path / f"{name}.subsampled.jpg", quality=50, subsampling=2)
        Image.fromarray(pixels).save(tmp_path / f"{name}.profile.jpg", quality=50, icc_profile=ICC)
        Image.fromarray(pixels).save(tmp_path / f"{name}.8.png", compress_level=1)
        Image.fromarray(pixels).save(tmp_path / f"{name}.lossy.webp", quality=50, method=0)
        Image.fromarray(pixels).save(tmp_path / f"{name}.progressive.jpg", progressive=True, subsampling=0)
        Image.fromarray(pixels).convert("CMYK").save(tmp_path / f"{name}.ink.jpg", progressive=True)
        tifffile.imwrite(tmp_path / f"{name}.strip.tif", pixels, compression="zlib", rowsperstrip=size[0])
        deep = generator.integers(0, 2**16, size, dtype=np.uint16)
        Image.fromarray(deep).save(tmp_path / f"{name}.16.png", compress_level=1)
    Image.fromarray(generator.integers(0, 256, (301, 20_001, 3), dtype=np.uint8)).save(tmp_path / "large.tif")
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    slack = 32 * 2**20
    ratios = {name: (estimate + slack) / (taken + slack) for name, (taken, estimate) in found.items()}
    assert len(ratios) == 21
    assert all(0.5 <= ratio <= 2 for ratio in ratios.values()), ratios
    encoded = {name: ratio for name, ratio in ratios.items() if name.endswith(("gif", "avif", "jxl", "webp"))}
    assert len(encoded) == 8
    assert all(0.9 <= ratio <= 1.7 for ratio in encoded.values()), encoded
    # The control: an image held in memory takes so much more that one bound would not fit both.
    assert found["jpg bmp"][0] > found["jpg png"][0] + 50 * 2**20
    assert found["profile.jpg jxl"][0] > found["jpg jxl"][0] + 20 * 2**20  # floating point
    assert found["8.png avif"][0] > 2 * found["8.png gif"][0]
    assert found["8.png webp"][0] > found["jpg webp"][0] + 50 * 2**20  # lossless and lossy


def job(side=1000, fmt="png", **keywords):
    return job_of("a", "b", side, side, fmt=fmt, **keywords)


def test_images_held_in_memory_count_and_streamed_images_do_not():
    large = job(10_000)
    assert job_bytes(job(10_000, "tiff", source_format="tiff")) == job_bytes(large) < 100 * 2**20
    assert job_bytes(job(10_000, "pnm", source_format="pnm")) == job_bytes(large)
    assert job_bytes(job(10_000, source_format="bmp")) - job_bytes(large) == 4 * 10**8
    assert job_bytes(job(10_000, "bmp")) - job_bytes(large) == 4 * 4 * 10**8
    of_bmp = [job_bytes(job(10_000, "bmp", source_format="bmp", source_layout=Layout(of))) for of in ("grey", "rgb")]
    assert of_bmp[0] < of_bmp[1] / 3
    of_webp = [job_bytes(job(10_000, "webp", source_layout=Layout(of))) for of in ("grey", "rgb")]
    assert of_webp[0] == of_webp[1]  # its encoder has no grey
    assert job_bytes(job(10)) < 10_000 * 4  # no memory for bands that do not exist


def test_frames_that_are_composed_count_more_than_one_image():
    still = job(5000, source_format="gif")
    frames = Frames(2, "animation", layout=Layout("rgb", alpha=True))
    moving, first = (replace(still, resolved=still.resolved._replace(frames=found)) for found in (frames, None))
    assert job_bytes(moving) - job_bytes(still) == (20 - 2) * 5000**2
    assert job_bytes(first) == job_bytes(still)  # the control


def test_an_image_over_the_budget_is_in_flight_alone():
    each = job_bytes(job())
    admission = Admission(8, each // 2)
    assert admission.takes(job())
    assert not admission.takes(job(1))
    admission.leave(job())
    assert admission.takes(job(1))
    assert admission.in_flight == 1


def test_images_with_one_header_cost_the_same_and_others_their_own():
    admission, first = Admission(8, None), job()
    large = job(3000, "bmp")
    for one in (first, replace(first), large, first):
        admission.takes(one)
    assert admission._used_bytes == 3 * job_bytes(first) + job_bytes(large)
    assert job_bytes(large) != job_bytes(first)  # the control


def test_a_finished_image_frees_its_memory():
    each = job_bytes(job())
    admission = Admission(8, 2 * each)
    assert [admission.takes(job()) for _ in range(3)] == [True, True, False]
    admission.leave(job())
    assert [admission.takes(job()) for _ in range(2)] == [True, False]


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A /proc and a /sys/fs/cgroup that a test can fill with files."""
    monkeypatch.setattr(available, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(available, "_GROUPS", tmp_path / "groups")

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")

    write(proc__meminfo="MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n", proc__self__cgroup="0::/a/b\n")
    return write


def test_the_machine_and_every_enclosing_control_group_limit_the_memory(system):
    assert available_bytes() == 8_000_000 * 1024
    system(groups__a__b__memory_dot_max="3000\n", groups__a__b__memory_dot_current="1000\n")
    assert available_bytes() == 2000
    system(groups__a__b__memory_dot_stat="anon 5\ninactive_file 500\n")
    assert available_bytes() == 2500  # the kernel reclaims the page cache on demand
    system(groups__a__memory_dot_max="1700\n", groups__a__memory_dot_current="1000\n")
    assert available_bytes() == 700
    system(groups__a__memory_dot_max="max\n")
    assert available_bytes() == 2500


def test_version_1_control_groups_limit_the_memory_too(system):
    system(proc__self__cgroup="9:cpu:/x\n4:memory:/job\n0::/\n")
    system(groups__memory__job__memory_dot_limit_in_bytes="5000", groups__memory__job__memory_dot_usage_in_bytes="4000")
    assert available_bytes() == 1000


def test_without_information_from_the_system_memory_is_unlimited(tmp_path, monkeypatch):
    monkeypatch.setattr(available, "_PROC", tmp_path / "none")
    assert (available_bytes(), budget_bytes(Options())) == (None, None)
    assert worker_count(10**6, "cpu") == memory.core_count()


def test_little_memory_means_fewer_workers_and_at_least_one(system, monkeypatch):
    monkeypatch.setattr(memory, "core_count", lambda: 8)
    cases = ((0, 1, 1), (1, 3, 1), (3, 8, 2), (99, 8, 8))
    for gibibytes, workers, with_torch in cases:
        system(proc__meminfo=f"MemAvailable: {gibibytes * 2**20} kB\n")
        assert (worker_count(100, "cpu"), worker_count(100, "cuda")) == (workers, with_torch)
    assert worker_count(3, "cuda") == 3


def test_the_budget_is_the_given_memory_or_half_of_the_available_memory(system):
    assert budget_bytes(Options(memory_bytes=12345)) == 12345
    assert budget_bytes(Options()) == 4_000_000 * 1024
