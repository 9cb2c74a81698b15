"""`tconv fit`: fit a kernel to photographs in closed form, or train a small network on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upsample_cli.cli.spelling import advised, sentence
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.fit_scores import print_scores
from upsample_cli.cli.tconv.printing import print_document, print_written, progress_shown, result_console, warn
from upsample_cli.version import __version__

if TYPE_CHECKING:
    from upsample_cli.quality.fit import Fit

_SUPPORT = 5

Photos = Annotated[
    list[str], typer.Argument(metavar="PHOTOS...", help="Photographs, folders or patterns such as '*.jpg'.")
]
Factor = Annotated[int, options.factor_option(metavar="N", help="Whole factor, 2 to 16; with --net, 2 to 4.")]
Support = Annotated[
    int, options.number_option(help="Input pixels along each axis that an output pixel depends on: 3, 5 or 7.")
]
Degrade = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How to make the small images: bicubic, area or lanczos; jpeg90 is bicubic, then JPEG of quality 90. "
        "With --net, several with commas; the first one is scored.",
    ),
]
Symmetric = Annotated[
    bool,
    typer.Option(
        "--symmetric/--asymmetric",
        help="Whether the kernel stays the same when it is turned or mirrored. Symmetric needs fewer photographs.",
    ),
]
Net = Annotated[
    bool,
    typer.Option(
        "--net",
        help="Train a small network of whole numbers instead. It takes about half an hour. Repeat an interrupted "
        "command to continue.",
    ),
]
Steps = Annotated[
    int | None,
    options.number_option(
        help="With --net: training batches. The last fifth trains the whole numbers. Default: 25000."
    ),
]
Noise = Annotated[
    float | None,
    options.number_option(help="With --net: largest standard deviation of noise, in levels, added to some patches."),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Also use the photographs in subfolders.")]
Output = Annotated[
    Path | None,
    options.output_option(
        help="Write the kernel or the network to this .safetensors file. With --net it is required. Default: do not "
        "write the kernel."
    ),
]


def fit_command(
    photos: Photos,
    *,
    factor: Factor = 2,
    support: Support = _SUPPORT,
    degrade: Degrade = "bicubic",
    symmetric: Symmetric = True,
    net: Net = False,
    steps: Steps = None,
    noise: Noise = None,
    recursive: Recursive = False,
    output: Output = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Fit a kernel to your photographs, or train a network, and compare it with bilinear, bicubic and Lanczos.

    \b
    Examples:
      tconv fit photos/ -o mine.safetensors
      tconv fit photos/ -r --support 7
      tconv fit ./*.png --factor 3 --degrade area -o area3.safetensors
      tconv fit photos/ --degrade jpeg90 --json
      tconv fit photos/ --net -o mine.safetensors
    """
    from upsample_cli.cli.tconv.fit_net import NetSettings, fit_net
    from upsample_cli.errors import Setting, UsageError

    settings = NetSettings(factor, degrade, steps, noise)
    if net:
        if support != _SUPPORT or not symmetric:
            name = "support" if support != _SUPPORT else "asymmetric"
            raise UsageError((Setting(name), " is for kernels, not for networks"), "leave it out")
        fit_net(settings, _paths(photos, recursive=recursive), output, overwrite=overwrite, as_document=as_document)
        return
    settings.check_unused()
    from upsample_cli.atomic.same_file import check_inputs_stay
    from upsample_cli.quality.degrade import degradation_named
    from upsample_cli.quality.file import as_json, check_output, write_fit
    from upsample_cli.quality.fit import fit_photos
    from upsample_cli.quality.photos import Recipe

    recipe = Recipe(factor, support, degradation_named(degrade), symmetric)
    if output is not None:
        check_output(output, overwrite=overwrite)
    paths = _paths(photos, recursive=recursive)
    if output is not None:
        check_inputs_stay(output, paths)
    with progress_shown(f"{len(paths)} photographs, read twice", total=2 * len(paths)) as advanced:
        fit = fit_photos(paths, recipe, advanced=advanced)
    for error in fit.skipped:
        warn(f"skipped: {sentence(advised(error.failure))}")
    if output is not None:
        write_fit(fit, output, overwrite=overwrite, made_by=f"upsample-cli {__version__}")
    if as_document:
        print_document(as_json(fit) | {"written": None if output is None else str(output)})
    else:
        _print_fit(fit)
        print_written(output)


def _paths(photos: list[str], *, recursive: bool) -> list[Path]:
    """The files without duplicates, because a held-out photo must not also be fitted."""
    from upsample_cli.batch.inputs import find_inputs
    from upsample_cli.errors import UsageError

    found: dict[str, Path] = {}
    for photo in find_inputs(photos, recursive=recursive):
        if photo.failure is not None:
            warn(photo.failure)
        else:
            found.setdefault(os.path.realpath(photo.path), Path(photo.path))
    if not found:
        raise UsageError("there is no image among the inputs", "name images, or folders that hold some")
    return list(found.values())


def _print_fit(fit: Fit) -> None:
    console, recipe = result_console(), fit.recipe
    what = f"{recipe.support}x{recipe.support} input pixels, degradation {recipe.degradation}"
    seen = f"{fit.images} {'image' if fit.images == 1 else 'images'}, {fit.samples} samples"
    console.print(f"fitted: factor {recipe.factor}, {what}; {seen}")
    print_scores(console, fit.scores)
    console.print(f"held out: {fit.protocol}" if fit.scores else fit.protocol)
