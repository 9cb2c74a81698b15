"""A substitute for the pipeline on a cluster: images whose names make them kill the Dask worker."""

import multiprocessing
import os
import signal
import time

from PIL import Image

from support import crashing
from upsample_cli.enlarge.job import Result

DYING_S = 30.0


def carry(job, options, *, token, stop, on_rows):
    """Do what the name of the image says, or call `crashing.carry`."""
    act = _ACTS.get(job.input.stem.rstrip("0123456789"))
    if act is not None:
        return act(job, options)
    return crashing.carry(job, options, token=token, stop=stop, on_rows=on_rows)


def answer_malformed(job, spec, number):
    """Replaces `batch.cluster.worker.enlarge` with a hostile worker's answer."""
    return {"status": "written", "error": number}


def _kill_worker(job, _options):
    with job.input.with_suffix(".begun").open("a", encoding="ascii") as begun:
        begun.write("x")
    os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)
    time.sleep(DYING_S)


def _kill_worker_afterwards(job, options):
    if job.output.exists():
        return _find_it_there(job, options)
    Image.new("RGB", (2 * job.width, 2 * job.height)).save(job.output)
    return _kill_worker(job, options)


def _find_it_there(job, options):
    return Result.planned(job).ended("skipped")


_ACTS = {"poison": _kill_worker, "late": _kill_worker_afterwards, "existing": _find_it_there}

CARRIER = crashing.SubstituteCarrier(carry)
