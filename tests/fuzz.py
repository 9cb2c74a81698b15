"""Feeds damaged images to every reader until the time is up: `python tests/fuzz.py --seconds 600 --seed 1`.

A reader may only raise UpsampleError, within seconds and in bounded memory. A child process does the work, so that
crashes and endless loops in decoders are found too. Findings are kept next to the temporary files.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import queue
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from support.corpus import good_files, mutated
from support.read_only import read_only_files
from support.reading import exercise, peak_bytes

from upsample_cli.errors import UpsampleError
from upsample_cli.images.formats import FORMATS

SLOW_S, ENDLESS_S = 5.0, 60.0
MOST_BYTES = 400 << 20
"""Above what the process takes after reading every good file: the limit of a million pixels, many times over."""
ADDRESS_BYTES = 4 << 30
"""All a child may have, so that a finding does not take the machine with it."""


def work(seed: int, end_s: float, current: Path, found: Path, reports: Any) -> None:
    """Mutate and read files until the time is up; each finding is a file in `found` and a line in `reports`."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    warnings.simplefilter("error")  # an unexpected line on stderr is a finding too
    random_, files = random.Random(seed), good_files() | read_only_files()
    with (found / "crash.txt").open("a") as log:
        faulthandler.enable(log)
        counts: Counter[str] = Counter()
        for data in files.values():
            attempt(data, random_)
        base_bytes = peak_bytes()
        while time.time() < end_s:
            name = random_.choice(list(files))
            data = mutated(files[name], random_.choice(list(files.values())), random_)
            current.write_bytes(data)
            faulthandler.dump_traceback_later(ENDLESS_S, exit=True, file=log)
            start_s = time.perf_counter()
            outcome = attempt(data, random_)
            faulthandler.cancel_dump_traceback_later()
            elapsed_s, grown_bytes = time.perf_counter() - start_s, peak_bytes() - base_bytes
            if elapsed_s > SLOW_S:
                outcome = f"slow: {elapsed_s:.1f} s"
            if grown_bytes > MOST_BYTES:
                outcome, base_bytes = f"large: {grown_bytes >> 20} MiB", peak_bytes()
            counts[name.split()[0] + (" read" if outcome == "read" else " refused")] += 1
            if outcome not in {"read", "refused"}:
                kept = found / f"{seed}-{sum(counts.values())} {name}"
                kept.write_bytes(data)
                reports.put(("found", f"{kept}: {outcome}"))
            if sum(counts.values()) % 500 == 0:
                reports.put(("counts", counts))
                counts = Counter()
        reports.put(("counts", counts))


def attempt(data: bytes, random_: random.Random) -> str:
    """The outcome for one file: "read", "refused", or a description of the fault."""
    try:
        exercise(data, random_.choice(list(FORMATS)))
    except UpsampleError as error:
        if isinstance(error.__cause__, MemoryError):
            return traceback.format_exc()
        return "refused" if "\n" not in str(error) else f"two lines: {error!r}"
    except OSError as error:
        return "read" if "encoder gave up" in str(error) else traceback.format_exc()
    except Exception:
        return traceback.format_exc()
    return "read"


def main() -> int:
    """Run children one after another, because a finding may end a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="upsample-fuzz-"))
    total: Counter[str] = Counter()
    findings: list[str] = []
    seed, end_s = chosen.seed, time.time() + chosen.seconds
    reports: Any = multiprocessing.Queue()
    while time.time() < end_s:
        current = folder / "current"
        child = multiprocessing.Process(target=work, args=(seed, end_s, current, folder, reports))
        child.start()
        while child.is_alive() or not reports.empty():
            try:
                kind, content = reports.get(timeout=1)
            except queue.Empty:
                continue
            if kind == "counts":
                total += content
            else:
                findings.append(content)
                print(content, flush=True)
        child.join()
        if child.exitcode and current.exists():
            kept = folder / f"{seed} ended the process"
            kept.write_bytes(current.read_bytes())
            findings.append(f"{kept}: exit status {child.exitcode}, see {folder}/crash.txt")
            print(findings[-1], flush=True)
        seed += 1
    print(f"{sum(total.values())} inputs in {chosen.seconds:.0f} s, {len(findings)} findings (in {folder})")
    for key in sorted(total):
        print(f"  {key}: {total[key]}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
