"""Enlarging one image: any error becomes one failed result. No torch, no pixels."""

import errno
import pickle
import threading
from pathlib import Path

import pytest
from support.jobs import job_of

from upsample_cli.atomic.writing_errors import writing_error
from upsample_cli.batch.carry import Carrier
from upsample_cli.enlarge.job import Result
from upsample_cli.enlarge.options import Options
from upsample_cli.errors import MORE_MEMORY, DeviceError, ImageError, Interrupted, OutputExistsError, UsageError

JOB = job_of("a.png", "o/a.png", 7, 5, losses=("a loss",))


def too_large():
    return ImageError("a.png", "does not fit into memory", MORE_MEMORY, kind="no-memory")


def thread_not_started():
    """Python's own error. (The stack of a thread of 2**62 bytes does not fit into memory.)"""
    before = threading.stack_size(2**62)
    try:
        threading.Thread(target=int).start()
    except RuntimeError as error:
        return error
    finally:
        threading.stack_size(before)


FAILURES = [
    (ImageError("a.png", "is damaged", "get another"), "a.png: is damaged; get another", False),
    (UsageError("too little", "give more"), "a.png: too little; give more", False),
    (DeviceError("no such device"), "a.png: no such device", False),
    (MemoryError(), "a.png: not enough memory to hold the image; give workers=1, or enlarge it elsewhere", True),
    (too_large(), "a.png: does not fit into memory; give workers=1, or enlarge it elsewhere", True),
    (
        thread_not_started(),
        "a.png: the system has no memory for more threads, or forbids them; give workers=1, or enlarge it elsewhere",
        True,
    ),
    (
        RuntimeError("two\n  lines"),
        "a.png: RuntimeError: two lines; this should not happen: debug shows where",
        False,
    ),
    (
        writing_error("o/a.png", OSError(errno.ENOSPC, "")),
        "o/a.png: cannot be written: the disk is full; free some space, or give output a folder on another disk",
        True,
    ),
    (
        writing_error("o/a.png", OSError(errno.EACCES, "")),
        "o/a.png: cannot be written: it or its folder may not be written to; "
        "check the permissions, or give another output",
        True,
    ),
    (
        writing_error("o/a.webp", OSError("the WebP encoder gave up")),
        "o/a.webp: cannot be written: the WebP encoder gave up",
        False,
    ),
]


@pytest.fixture
def carried(monkeypatch):
    """The result if the pipeline raises an error."""

    def carried(error, **keywords):
        def enlarge_image(job, options, **_):
            raise error

        monkeypatch.setattr("upsample_cli.enlarge.run.enlarge_image", enlarge_image)
        return Carrier(**keywords).carry_out(JOB, Options())

    return carried


@pytest.mark.parametrize(("error", "line", "may_pass"), FAILURES)
def test_each_failure_is_one_line_and_says_whether_a_retry_may_succeed(carried, error, line, may_pass):
    result = carried(error)
    assert (result.status, result.error, result.failure.may_pass) == ("failed", line, may_pass)
    assert (result.output_height, result.output, result.warnings) == (14, Path("o/a.png"), ("a loss",))
    assert result.elapsed_s > 0


def test_a_usage_error_of_a_single_image_is_raised_by_the_run(carried):
    with pytest.raises(UsageError, match=r"^too little; give more$"):
        carried(UsageError("too little", "give more"), is_alone=True)


def test_an_output_that_appears_during_the_run_is_skipped_or_an_error_for_a_single_image(carried):
    error = OutputExistsError(JOB.output)
    passed, alone = carried(error), carried(error, is_alone=True)
    assert (passed.status, passed.error, alone.status) == ("skipped", None, "failed")
    assert str(error) in passed.warnings
    assert alone.error == str(error)


def test_debug_raises_only_unexpected_errors(carried):
    with pytest.raises(RuntimeError):
        carried(RuntimeError("two"), debug=True)
    assert carried(ImageError("a.png", "is damaged"), debug=True).status == "failed"


@pytest.mark.parametrize("error", [Interrupted(), BrokenPipeError()])
def test_errors_that_do_not_concern_the_image_are_raised(carried, error):
    with pytest.raises(type(error)):
        carried(error)


def test_carriers_jobs_and_results_can_be_pickled(carried):
    for sent in (Carrier(is_alone=True), JOB, Options(), carried(MemoryError()), Result.planned(JOB)):
        assert repr(pickle.loads(pickle.dumps(sent))) == repr(sent)  # a job equals only itself
