"""`tconv fit --net`: train a small network on photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upsample_cli.cli.spelling import advised, sentence
from upsample_cli.cli.tconv.fit_scores import print_scores
from upsample_cli.cli.tconv.printing import print_document, print_written, progress_shown, result_console, warn
from upsample_cli.errors import Setting, UsageError
from upsample_cli.version import __version__

if TYPE_CHECKING:
    from upsample_cli.quality.network.fit import Plan, Split
    from upsample_cli.quality.photos import Photos

_STEPS = 25_000
FACTORS = (2, 3, 4)
_WHOLE_SHARE = 5
_LEAST_STEPS = 10
_MOST_NOISE = 50


@dataclass(frozen=True, slots=True)
class NetSettings:
    """The options of a training. None means that the option is not given."""

    factor: int
    degrade: str
    steps: int | None
    noise: float | None

    def check_unused(self) -> None:
        """Refuse options that only a training has.

        Raises:
            UsageError: if one of them is given.
        """
        if self.steps is not None or self.noise is not None:
            name = "steps" if self.steps is not None else "noise"
            raise UsageError(
                f"a kernel is fitted in closed form, without {name}", ("give ", Setting("net"), ", or leave it out")
            )
        if "," in self.degrade:
            raise UsageError("a kernel is fitted for one degradation", ("give one, or add ", Setting("net")))


def fit_net(
    settings: NetSettings, paths: list[Path], output: Path | None, *, overwrite: bool, as_document: bool
) -> None:
    """Train, score, write and print.

    Raises:
        UpsampleError: if a setting or a photograph cannot be used.
    """
    from upsample_cli.atomic.same_file import check_inputs_stay
    from upsample_cli.quality.file import check_output
    from upsample_cli.quality.fit import mean_scores
    from upsample_cli.quality.network.file import as_json, write_network
    from upsample_cli.quality.network.fit import scores_of, split_photos, training_of
    from upsample_cli.quality.network.saved import Saved, finish, unfinished_path
    from upsample_cli.quality.photos import read_photos

    plan = _plan(settings)
    if output is None:
        raise UsageError("a network must be written to a file", ("give ", Setting("output", "NAME.safetensors")))
    check_output(output, overwrite=overwrite, what="networks")
    check_inputs_stay(output, paths)
    with progress_shown(f"{len(paths)} photographs, read twice", total=2 * len(paths)) as advanced:
        photos = read_photos(paths, plan.recipe, advanced)
        split = split_photos(photos)
        training = training_of(split, plan, advanced)
    for error in photos.skipped:
        warn(f"skipped: {sentence(advised(error.failure))}")
    saved = Saved(unfinished_path(output), split, plan)
    saved.restore(training)
    with progress_shown("training", total=plan.schedule.total) as trained:
        trained(training.step)
        finish(training, saved, trained)
    network = training.averaged()
    scores = mean_scores(scores_of(network, split, plan))
    document = as_json(plan, split, scores)
    write_network(network, output, document | {"made_by": f"upsample-cli {__version__}"}, overwrite=overwrite)
    saved.remove()
    if as_document:
        print_document(document | {"written": str(output)})
        return
    console = result_console()
    console.print(f"trained: factor {plan.shape.factor}, {plan.shape.multiplications} multiplications per input pixel")
    print_scores(console, scores)
    console.print(_protocol(photos, split))
    print_written(output)


def _protocol(photos: Photos, split: Split) -> str:
    if not split.held_out:
        return "no score: the only image is too small to hold a half of it out"
    if photos.images == 1:
        return "held out: the lower half of the image"
    return f"held out: {len(split.held_out)} of {photos.images} images, which the network has not seen"


def _plan(settings: NetSettings) -> Plan:
    from upsample_cli.quality.degrade import degradation_named
    from upsample_cli.quality.network.fit import Plan
    from upsample_cli.quality.network.model import shape_for
    from upsample_cli.quality.network.train import Schedule

    if settings.factor not in FACTORS:
        raise UsageError(
            f"a network for factor {settings.factor} cannot be trained", ("give ", Setting("factor", "2, 3 or 4"))
        )
    steps = _STEPS if settings.steps is None else settings.steps
    if steps < _LEAST_STEPS:
        raise UsageError(f"{steps} steps are too few", ("give ", Setting("steps", f"{_LEAST_STEPS} or more")))
    noise = settings.noise or 0.0
    if not 0 <= noise <= _MOST_NOISE:
        raise UsageError(
            f"noise of {noise:g} levels is not possible", ("give ", Setting("noise", f"0 to {_MOST_NOISE}"))
        )
    degradations = tuple(degradation_named(name.strip()) for name in settings.degrade.split(","))
    whole = max(1, steps // _WHOLE_SHARE)
    return Plan(shape_for(settings.factor), degradations, Schedule(steps - whole, whole), noise)
