"""`python -m benchmarks [SUITE...]`: measure, print, and save to benchmarks/results/."""

from __future__ import annotations

import sys
from typing import Annotated

import torch
import typer

from benchmarks.cases import SUITES
from benchmarks.cuda import cuda as cuda_suite
from benchmarks.tables import measure


def main(
    suites: Annotated[list[str] | None, typer.Argument(help=f"Some of: {', '.join(SUITES)}. Default: all.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count.")] = 7,
    cuda: Annotated[bool, typer.Option("--cuda", help="Measure a GPU instead, the first one.")] = False,
    save: Annotated[str, typer.Option(metavar="NAME", help="Save as benchmarks/results/DATE-NAME.json.")] = "",
) -> None:
    """Measure this package and its peers, in turn, on this machine."""
    if cuda and not torch.cuda.is_available():
        print("benchmarks: there is no CUDA device here", file=sys.stderr)
        raise typer.Exit(2)
    if cuda:
        measure([cuda_suite(rounds)], rounds, save)
        return
    measure([SUITES[name](rounds) for name in suites or SUITES], rounds, save)


if __name__ == "__main__":
    typer.run(main)
