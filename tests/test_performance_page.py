"""docs/performance.md has exactly the figures of the saved runs that it names."""

import json
import re

import pytest

from benchmarks.harness import milliseconds
from benchmarks.report import PAGE, with_figures
from benchmarks.tables import RESULTS

TEXT = PAGE.read_text(encoding="utf-8")
NAMED = re.findall(r"<!-- figures: (.*?) -->", TEXT)[0].split()


def test_the_figures_equal_those_of_the_saved_runs():
    assert with_figures(TEXT, []) == TEXT, "run python -m benchmarks.report"


def test_control_a_changed_figure_is_detected():
    changed, count = re.subn(r"(?<=\| )\d+ ms(?=, 1\.00<br>)", "9999 ms", TEXT, count=1)
    assert count == 1
    assert with_figures(changed, []) != changed


@pytest.mark.parametrize("result", NAMED)
def test_every_measured_row_is_in_a_cell(result):
    name, _, cases = result.partition("=")
    rows = json.loads((RESULTS / name).read_text(encoding="utf-8"))["rows"]
    chosen = [row for row in rows if row["case"].startswith(tuple(cases.split(",")))]
    assert chosen
    for row in chosen:
        median, low, high = (milliseconds(row[key]) for key in ("median_s", "low_s", "high_s"))
        assert f"{median} ms, {row['ratio']:.2f}<br>{low} to {high}" in TEXT


def test_the_figures_of_the_readme_are_on_the_page():
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## How it compares")[2].partition("##")[0]
    figures = re.findall(r"\| ([\d.]+) s, (\d+) MiB", table)
    assert len(figures) == 8
    measured = re.findall(r"(\d+) ms, [\d.]+<br>[^<]+<br>(\d+) MiB peak", TEXT)
    shown = {(f"{int(ms) / 1000:.{digits}f}", mib) for ms, mib in measured for digits in (1, 2)}
    assert set(figures) <= shown
