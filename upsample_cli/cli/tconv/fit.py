"""`tconv fit`: a kernel fitted to photographs, in closed form."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upsample_cli.cli.options import AsDocument, Overwrite
from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import sentence
from upsample_cli.cli.tconv.printing import print_document, result_console
from upsample_cli.version import __version__

if TYPE_CHECKING:
    from upsample_cli.quality.fit import Fit, Recipe


def fit_command(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTOS...", help="Photographs, folders or patterns.")],
    *,
    factor: Annotated[int, typer.Option("-f", "--factor", metavar="N", help="Whole factor, 2 to 16.")] = 2,
    support: Annotated[
        int, typer.Option(metavar="N", help="Input pixels that an output pixel sees along each axis: 3, 5 or 7.")
    ] = 5,
    degrade: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How the small images came to be: bicubic, area or lanczos; jpeg90 is bicubic, then JPEG of quality "
            "90.",
        ),
    ] = "bicubic",
    symmetric: Annotated[
        bool,
        typer.Option(
            "--symmetric/--asymmetric", help="The same kernel for images turned and mirrored; learns more from less."
        ),
    ] = True,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look into subfolders.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the kernel to it (.safetensors). Default: none."),
    ] = None,
    overwrite: Overwrite = False,
    as_document: AsDocument = False,
) -> None:
    """Fit a kernel to your photographs, and see what it is worth beside bilinear, bicubic and Lanczos.

    \b
    Examples:
      tconv fit photos/ -o mine.safetensors
      tconv fit photos/ -r --support 7
      tconv fit ./*.png --factor 3 --degrade area -o area3.safetensors
      tconv fit photos/ --degrade jpeg90 --json
    """
    from upsample_cli.quality.degrade import degradation_named
    from upsample_cli.quality.fit import Recipe

    recipe = Recipe(factor, support, degradation_named(degrade), symmetric)
    if output is not None:
        from upsample_cli.quality.file import check_target

        check_target(output, overwrite=overwrite)
    paths = _paths(photos, recursive=recursive)
    if output is not None:
        from upsample_cli.atomic.same_file import check_inputs_stay

        check_inputs_stay(output, paths)
    fit = _fitted(paths, recipe)
    for error in fit.skipped:
        print(f"warning: skipped: {one_line(sentence(error.failure))}", file=sys.stderr)
    if output is not None:
        from upsample_cli.quality.file import write_fit

        write_fit(fit, output, overwrite=overwrite, made_by=f"upsample-cli {__version__}")
    if as_document:
        from upsample_cli.quality.file import as_json

        print_document(as_json(fit) | {"written": None if output is None else str(output)})
    else:
        _print_fit(fit, output)


def _paths(photos: list[str], *, recursive: bool) -> list[Path]:
    """The files, each once even under several names: a held-out photo must not also be fitted."""
    from upsample_cli.batch.inputs import find_inputs
    from upsample_cli.errors import UsageError

    found: dict[str, Path] = {}
    for photo in find_inputs(photos, recursive=recursive):
        if photo.error is not None:
            print(f"warning: {one_line(photo.error)}", file=sys.stderr)
        else:
            found.setdefault(os.path.realpath(photo.path), photo.path)
    if not found:
        raise UsageError("there is no image among the inputs", "name images, or folders that hold some")
    return list(found.values())


def _fitted(paths: list[Path], recipe: Recipe) -> Fit:
    from rich.console import Console
    from rich.progress import Progress

    from upsample_cli.quality.fit import fit_photos

    console = Console(stderr=True)
    # is_terminal is also true under FORCE_COLOR
    with Progress(console=console, transient=True, disable=not console.file.isatty()) as progress:
        task = progress.add_task(f"{len(paths)} photographs, read twice", total=2 * len(paths))
        return fit_photos(paths, recipe, advanced=lambda share: progress.advance(task, share))


def _print_fit(fit: Fit, output: Path | None) -> None:
    from rich.table import Table
    from rich.text import Text

    console, recipe = result_console(), fit.recipe
    what = f"{recipe.support}x{recipe.support} input pixels, degradation {recipe.degradation}"
    seen = f"{fit.images} {'image' if fit.images == 1 else 'images'}, {fit.samples} samples"
    console.print(Text(f"fitted: factor {recipe.factor}, {what}; {seen}"))
    if fit.scores:
        table = Table("kernel", "PSNR of luma", "SSIM", "over lanczos3")
        for name, score in fit.scores.items():
            gain = score.psnr_db - fit.scores["lanczos3"].psnr_db
            table.add_row(name, f"{score.psnr_db:.2f} dB", f"{score.ssim:.4f}", f"{gain:+.2f} dB")
        console.print(table)
    console.print(Text(f"held out: {fit.protocol}" if fit.scores else fit.protocol))
    if output is not None:
        console.print(Text(f"written: {one_line(str(output))}"), soft_wrap=True)
