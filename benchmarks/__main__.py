"""`python -m benchmarks [SUITE...]`: measure, print, and save to benchmarks/results/."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.cases import SUITES
from benchmarks.tables import measure


def main(
    suites: Annotated[list[str] | None, typer.Argument(help=f"Some of: {', '.join(SUITES)}. Default: all.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count.")] = 7,
    save: Annotated[str, typer.Option(metavar="NAME", help="Save as benchmarks/results/DATE-NAME.json.")] = "",
) -> None:
    """Measure this package beside its peers, in turn, on this machine."""
    measure([SUITES[name](rounds) for name in suites or SUITES], rounds, save)


if __name__ == "__main__":
    typer.run(main)
