"""Bars in wide and narrow terminals, occasional lines without a terminal, and nothing in short runs."""

import gc
import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import TextColumn, TimeRemainingColumn
from rich.text import Text
from support.jobs import job_of

from upsample_cli.cli.report import bars as bars_module
from upsample_cli.cli.report import counts
from upsample_cli.cli.report.bars import Bars
from upsample_cli.cli.report.counts import Amount
from upsample_cli.cli.report.figures import figure
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.progress import counted, shown_progress
from upsample_cli.enlarge.job import Result
from upsample_cli.errors import Failure


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test advances, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(counts.time, "monotonic", lambda: now[0])
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
    bars = Bars(Output(io.StringIO()))
    half_done(bars, clock)
    total, facts, third = drawn(bars, 80)
    assert total.startswith("2 of 4 images ━")
    assert total.endswith("  62% 0:00:06")  # 2.5 of 4 in 10 s
    assert facts == "1 failed, 0.2 images/s, 0.045 MP/s, 1 in flight"  # 250 * 201 * 9 pixels in 10 s
    assert third.startswith("[2] of a rather long name.png ━")
    assert third.endswith(" 50%")


def test_a_narrow_terminal_shows_the_same_in_more_lines(clock):
    bars = Bars(Output(io.StringIO()))
    half_done(bars, clock)
    title, total, facts, third = drawn(bars, 40)
    assert title == "2 of 4 images"
    assert total.endswith(" 62% 0:00:06")
    assert facts.startswith("1 failed, 0.2 images/s, 0.045 MP/s")
    assert third.startswith("[2] of a ra…me.png ━")


def test_before_the_first_image_nothing_is_estimated():
    bars = Bars(Output(io.StringIO()))
    bars.expect(jobs(2))
    total, facts = drawn(bars, 80)
    assert total.endswith(" 0% -:--:--")
    assert facts == "starting"


def test_progress_reported_after_the_end_of_an_image_is_ignored(clock):
    bars = Bars(Output(io.StringIO()))
    (job,) = jobs(1)
    bars.expect([job])
    bars.started(job)
    bars.advanced(job, 30)
    bars.ended(job)
    bars.advanced(job, 70)
    clock[0] += 1
    assert drawn(bars, 80)[0].endswith("100% 0:00:00")


def test_only_a_few_of_many_images_in_flight_are_shown():
    bars = Bars(Output(io.StringIO()))
    many = jobs(64)
    bars.expect(many)
    for job in many:
        bars.started(job)
    lines = drawn(bars, 80)
    assert len(lines) == 6
    assert lines[1] == "64 in flight"


def texts_kept(draw):
    """How many more rich texts exist after fifty times."""
    counts = []
    for times in (5, 50):
        for _ in range(times):
            draw()
        gc.collect()
        counts.append(sum(type(thing) is Text for thing in gc.get_objects()))
    return counts[1] - counts[0]


def test_drawing_for_days_does_not_take_more_memory():
    bars = Bars(Output(io.StringIO()))
    (job,) = jobs(1)
    bars.expect([job])
    bars.started(job)
    assert texts_kept(lambda: drawn(bars, 80)) == 0

    def draw_another_task():
        task = rich_bars.add_task("")
        rich_bars.make_tasks_table(rich_bars.tasks)
        rich_bars.remove_task(task)

    with RichProgress(TextColumn("x"), disable=True) as rich_bars:  # the control: rich keeps a text for each task
        assert texts_kept(draw_another_task) == 50


def test_without_a_terminal_a_line_is_printed_every_ten_minutes(clock):
    file = io.StringIO()
    bars = shown_progress(Output(file), is_shown=True)
    with bars:
        half_done(bars, clock)
        assert file.getvalue() == ""
        clock[0] += counts.LINE_EVERY_S
        third = jobs(4)[2]
        bars.advanced(third, 1)
        bars.advanced(third, 1)
    (line,) = file.getvalue().splitlines()
    # 2.5 of 4 images in 610 s
    assert line == "2 of 4 images, 1 failed, 0.0033 images/s, 0.00074 MP/s, 0:06:06 left"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00:00"), (0.2, "0:00:01"), (754, "0:12:34"), (90061, "25:01:01")])
def test_the_time_left_is_that_of_rich(clock, seconds, text):
    amount = Amount(window_s=1e9)
    amount.expect(1)
    with RichProgress(TimeRemainingColumn(), disable=True, get_time=counts.time.monotonic) as rich_bars:
        task = rich_bars.add_task("", total=1)
        for done in (0, 1 / (1 + seconds)):
            amount.reach(done)
            rich_bars.advance(task, done)
            clock[0] += 1
        (column,) = rich_bars.columns
        assert amount.time_left() == column.render(rich_bars.tasks[0]).plain == text


def test_the_speed_is_that_of_the_last_seconds(clock):
    amount = Amount(window_s=30)
    assert amount.per_s() == 0
    amount.expect(1000)
    for done in (0, 100, 110, 120, 130):  # fast at first
        amount.reach(done)
        clock[0] += 10
    assert amount.per_s() == 1
    assert amount.time_left() == "0:14:30"
    amount.expect(1)
    assert amount.time_left() == "-:--:--"


def test_without_a_terminal_neither_bars_nor_live_displays_are_imported():
    code = """
import sys
from upsample_cli.cli.report.output import Output
from upsample_cli.cli.report.progress import counted, shown_progress
def make(file):
    output = Output(file)
    shown_progress(output, is_shown=True)
    counted([], "images found", output, is_shown=True)
    print(sorted({"rich", "rich.live", "rich.progress"} & set(sys.modules)))
make(sys.stdout)
sys.stdout.isatty = lambda: True
make(sys.stdout)  # the control
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert ran.stdout.splitlines() == ["[]", "['rich', 'rich.live', 'rich.progress']"]


def test_quiet_prints_no_such_line(clock):
    file = io.StringIO()
    with shown_progress(Output(file), is_shown=False) as bars:
        clock[0] += 2 * counts.LINE_EVERY_S
        half_done(bars, clock)
    assert file.getvalue() == ""


def test_a_slow_search_shows_a_count_on_a_terminal(monkeypatch):
    monkeypatch.setattr(bars_module, "_PATIENCE_S", -1.0)
    for file, is_shown, is_seen in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        assert list(counted(range(1234), "images found", Output(file), is_shown=is_shown)) == list(range(1234))
        assert ("1,234 images found" in file.getvalue()) == is_seen


def test_a_short_count_is_not_shown():
    file = Terminal()
    assert list(counted([1, 2], "images found", Output(file), is_shown=True)) == [1, 2]
    assert "found" not in file.getvalue()


def test_rates_above_zero_are_never_shown_as_zero():
    assert [figure(rate) for rate in (0.0015, 9.96, 99.94, 100.0, 12345.6)] == [
        "0.0015",
        "10.0",
        "99.9",
        "100",
        "12,346",
    ]
