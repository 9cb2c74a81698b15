"""Train the networks that come with the package, and score networks on photographs that they have not seen.

    python -m benchmarks.fit_network FOLDER --factor 2 --held first
    python -m benchmarks.fit_network FOLDER --factor 2 --begin FOLDER/x2-first.training
    python -m benchmarks.fit_network FOLDER --factor 3 --begin FOLDER/x2-all.training

Each command trains one network, writes it and its training to FOLDER, and prints the scores of each held-out
photograph. Repeat an interrupted command to continue it. `--begin` starts from the trunk of another network,
which takes a fifth of the time. That network must not have seen the held-out photographs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.fit_kernels import PHOTOGRAPHS, parts
from upsample_cli.quality.degrade import Degradation, degradation_named
from upsample_cli.quality.equations import no_equations
from upsample_cli.quality.fit import mean_scores
from upsample_cli.quality.network.file import as_json, write_network
from upsample_cli.quality.network.fit import Plan, Split, scores_of, training_of
from upsample_cli.quality.network.model import Network, shape_for
from upsample_cli.quality.network.saved import Saved, finish, saved_weights
from upsample_cli.quality.network.train import Schedule
from upsample_cli.quality.photos import equations_of
from upsample_cli.quality.score import Errors

GROUPS = {
    "first": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"),
    "second": ("camera.png", "coins.png", "grass.png", "ihc.png"),
    "none": (),
}
"""The groups of photographs to hold out."""

MIXTURE = tuple(degradation_named(name) for name in ("bicubic", "area", "jpeg95", "jpeg90", "jpeg85", "jpeg80"))
MIXTURE_NOISE = 2.0
"""The degradations of `net-photo`: what cameras and programs do to small images."""


def split_without(held: str, plan: Plan) -> Split:
    """All photographs, without the group that is held out."""
    found = parts(plan.shape.factor, [name for name in PHOTOGRAPHS if name not in GROUPS[held]])
    recipe = plan.recipe
    sums = sum((equations_of(part, recipe) for part in found), no_equations(recipe.factor, recipe.support))
    return Split(found, sums, parts(plan.shape.factor, GROUPS[held]))


def print_scores(network: Network, split: Split, plan: Plan, degradations: tuple[Degradation, ...]) -> None:
    """Print PSNR in dB and SSIM of each held-out photograph after each degradation, and their means."""
    for degradation in degradations:
        scored = Plan(plan.shape, (degradation,), plan.schedule)
        found = scores_of(network, split, scored)
        print(f"after {degradation}: {', '.join(found[0])}")
        for part, sums in zip(split.held_out, found, strict=True):
            print(f"{part.path.stem:>20} {_row(sums)}")
        means = mean_scores(found)
        print(f"{'mean':>20} {' '.join(f'{mean.psnr_db:6.2f}/{mean.ssim:.4f}' for mean in means.values())}", flush=True)


def _row(sums: dict[str, Errors]) -> str:
    return " ".join(f"{errors.psnr_db:6.2f}/{errors.ssim:.4f}" for errors in sums.values())


def main(
    folder: Path,
    *,
    factor: int = 2,
    held: str = "none",
    photo: Annotated[bool, typer.Option("--photo", help="Train on the mixture of degradations.")] = False,
    begin: Annotated[Path | None, typer.Option(help="A .training file to start from.")] = None,
    steps: int = 25_000,
    threads: int = 1,
) -> None:
    """Train one network."""
    torch.set_num_threads(threads)
    degradations = MIXTURE if photo else MIXTURE[:1]
    whole = max(steps // 5, 2000)
    rate = 1e-3 if begin is None else 5e-4
    plan = Plan(shape_for(factor), degradations, Schedule(steps - whole, whole, rate), MIXTURE_NOISE if photo else 0.0)
    split = split_without(held, plan)
    training = training_of(split, plan)
    name = f"x{factor}-{'photo-' if photo else ''}{'all' if held == 'none' else held}"
    if begin is not None:
        training.start_from(saved_weights(begin))
    saved = Saved(folder / f"{name}.training", split, plan)
    saved.restore(training)

    def trained(_count: float) -> None:
        if training.step % 1000 == 0:
            print(f"{name}: {training.step} of {plan.schedule.total}", flush=True)

    finish(training, saved, trained)
    saved.save(training)
    network = training.averaged()
    scores = mean_scores(scores_of(network, split, plan))
    about = as_json(plan, split, scores)
    write_network(network, folder / f"{name}.safetensors", about, overwrite=True)
    print(json.dumps(about))
    if split.held_out:
        print_scores(network, split, plan, MIXTURE)


if __name__ == "__main__":
    typer.run(main)
