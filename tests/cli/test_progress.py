"""Bars in wide and narrow terminals, occasional lines without a terminal, and nothing in short runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from support.jobs import job_of

from upsample_cli.cli.report import progress
from upsample_cli.cli.report.figures import figure
from upsample_cli.cli.report.progress import Bars, counted
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import Failure


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test advances, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def jobs(count):
    names = [f"in/[{index}] of a rather long name.png" for index in range(count)]
    return [job_of(Path(name), Path("o.png"), 100, 201, factor=3) for name in names]


def drawn(bars, columns):
    console = Console(file=io.StringIO(), width=columns)
    console.print(bars)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= columns for line in lines)
    return [line.rstrip() for line in lines]


def half_done(bars, clock):
    """Four equal images after ten seconds: one written, one failed at once, one half done."""
    first, second, third, _ = four = jobs(4)
    bars.expect(four)
    clock[0] += 60  # time before the first image does not count
    bars.started(first)
    bars.started(second)
    bars.started(third)
    clock[0] += 10
    bars.advanced(first, 100)
    bars.ended(first)
    bars.result(Result(first.input, status="written"))
    bars.ended(second)
    bars.result(Result(second.input, status="failed", failure=Failure("damaged", "no")))
    bars.advanced(third, 50)


def test_a_wide_terminal_shows_two_lines_and_one_for_each_image_in_flight(clock):
    bars = Bars(Console(file=io.StringIO()), is_shown=True)
    half_done(bars, clock)
    total, facts, third = drawn(bars, 80)
    assert total.startswith("2 of 4 images ━")
    assert total.endswith("  62% 0:00:06")  # 2.5 of 4 in 10 s
    assert facts == "1 failed, 0.2 images/s, 0.045 MP/s, 1 in flight"  # 250 * 201 * 9 pixels in 10 s
    assert third.startswith("[2] of a rather long name.png ━")
    assert third.endswith(" 50%")


def test_a_narrow_terminal_shows_the_same_in_more_lines(clock):
    bars = Bars(Console(file=io.StringIO()), is_shown=True)
    half_done(bars, clock)
    title, total, facts, third = drawn(bars, 40)
    assert title == "2 of 4 images"
    assert total.endswith(" 62% 0:00:06")
    assert facts.startswith("1 failed, 0.2 images/s, 0.045 MP/s")
    assert third.startswith("[2] of a ra…me.png ━")


def test_before_the_first_image_nothing_is_estimated():
    bars = Bars(Console(file=io.StringIO()), is_shown=True)
    bars.expect(jobs(2))
    total, facts = drawn(bars, 80)
    assert total.endswith(" 0% -:--:--")
    assert facts == "starting"


def test_progress_reported_after_the_end_of_an_image_is_ignored(clock):
    bars = Bars(Console(file=io.StringIO()), is_shown=True)
    (job,) = jobs(1)
    bars.expect([job])
    bars.started(job)
    bars.advanced(job, 30)
    bars.ended(job)
    bars.advanced(job, 70)
    clock[0] += 1
    assert drawn(bars, 80)[0].endswith("100% 0:00:00")


def test_only_a_few_of_many_images_in_flight_are_shown():
    bars = Bars(Console(file=io.StringIO()), is_shown=True)
    many = jobs(64)
    bars.expect(many)
    for job in many:
        bars.started(job)
    lines = drawn(bars, 80)
    assert len(lines) == 6
    assert lines[1] == "64 in flight"


def test_without_a_terminal_a_line_is_printed_every_ten_minutes(clock):
    file = io.StringIO()
    bars = Bars(Console(file=file, width=40), is_shown=True)
    with bars:
        half_done(bars, clock)
        assert file.getvalue() == ""
        clock[0] += progress.LINE_EVERY_S
        third = jobs(4)[2]
        bars.advanced(third, 1)
        bars.advanced(third, 1)
    (line,) = file.getvalue().splitlines()
    assert line.startswith("2 of 4 images, 1 failed, 0.0")
    assert line.endswith(" left")


def test_quiet_prints_no_such_line(clock):
    file = io.StringIO()
    with Bars(Console(file=file), is_shown=False) as bars:
        clock[0] += 2 * progress.LINE_EVERY_S
        half_done(bars, clock)
    assert file.getvalue() == ""


def test_a_slow_search_shows_a_count_on_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE_S", -1.0)
    for file, is_shown, is_seen in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        console = Console(file=file, force_terminal=True)
        assert list(counted(range(1234), "images found", console, is_shown=is_shown)) == list(range(1234))
        assert ("1,234 images found" in file.getvalue()) == is_seen


def test_a_short_count_is_not_shown():
    file = Terminal()
    assert list(counted([1, 2], "images found", Console(file=file), is_shown=True)) == [1, 2]
    assert "found" not in file.getvalue()


def test_rates_above_zero_are_never_shown_as_zero():
    assert [figure(rate) for rate in (0.0015, 9.96, 99.94, 100.0, 12345.6)] == [
        "0.0015",
        "10.0",
        "99.9",
        "100",
        "12,346",
    ]
