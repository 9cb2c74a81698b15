"""`tconv compare`: compare kernels on an image, by scores and side by side."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import called, sentence
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.printing import print_document, print_written, progress_shown, result_console, warn
from upsample_cli.errors import UsageError
from upsample_cli.text import parse_quantity

if TYPE_CHECKING:
    from upsample_cli.quality.compare import Comparison
    from upsample_cli.quality.pair import Box, Limits, Pair

_FACTOR, _DEGRADATION = 2, "bicubic"
_CROP = re.compile(r"([0-9]{1,9}),([0-9]{1,9}),([1-9][0-9]{0,8})x([1-9][0-9]{0,8})")

Photo = Annotated[
    Path, typer.Argument(metavar="PHOTO", readable=False, help="The image; with --reference the small one.")
]
Factor = Annotated[
    int | None,
    options.factor_option(
        metavar="N", help="Whole factor, 2 to 64. Default 2, or with --reference the ratio of the sizes."
    ),
]
Degrade = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How to reduce PHOTO: bicubic, area or lanczos; jpeg90 is bicubic, then JPEG of quality 90. Default "
        "bicubic.",
    ),
]
Reference = Annotated[Path | None, options.file_option(help="The large image from which PHOTO was made.")]
Kernels = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Kernels to compare, by name or file, as for upsample --kernel. Default: all that have a name.",
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,WxH",
        help="The part to show, in pixels of the large image. Default: the 96x96 where the kernels differ most.",
    ),
]
Rounds = Annotated[int, options.number_option(min=0, max=99, help="How often to time each kernel; 0 for no times.")]
Measure = Annotated[
    str,
    typer.Option(
        metavar="COUNT", help="Most pixels to measure; of a larger image, those around the crop or the middle."
    ),
]
Output = Annotated[Path | None, options.output_option(help="Draw crops and differences to this .png file.")]


def compare_command(
    photo: Photo,
    *,
    factor: Factor = None,
    degrade: Degrade = None,
    reference: Reference = None,
    kernels: Kernels = None,
    crop: Crop = None,
    rounds: Rounds = 3,
    measure: Measure = "4M",
    max_pixels: options.MaxPixels = options.DEFAULT_MAX_PIXELS,
    output: Output = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Reduce an image, enlarge it again with every kernel, and see which comes closest.

    \b
    Examples:
      tconv compare photo.jpg -o kernels.png
      tconv compare photo.jpg --factor 3 --degrade area
      tconv compare photo.jpg --kernels bicubic,fitted --crop 300,200,64x64
      tconv compare small.png --reference large.png --json
    """
    from upsample_cli.quality.compare import compare
    from upsample_cli.quality.pair import Limits

    shown = None if crop is None else _box(crop)
    names = None if kernels is None else _names(kernels)
    limits = Limits(parse_quantity(measure, "--measure"), parse_quantity(max_pixels, "--max-pixels"))
    if output is not None:
        _check_output(output, [photo, *([reference] if reference else [])], overwrite=overwrite)
    pair = _pair(photo, reference, factor, degrade, limits, shown)
    with progress_shown("comparing", total=1) as advanced, called("kernel", "kernels"):
        comparison = compare(pair, names, crop=shown, rounds=rounds, advanced=advanced)
    for remark in pair.remarks:
        warn(remark)
    what = f"{photo}: factor {pair.factor}, {pair.box.width}x{pair.box.height}, degradation {pair.degradation}"
    if output is not None:
        from upsample_cli.quality.sheet import write_sheet

        write_sheet(comparison, one_line(what), output, overwrite=overwrite)
    if as_document:
        print_document(_document(comparison, photo, reference, output))
    else:
        _print(comparison, one_line(what))
        print_written(output)


def _box(text: str) -> Box:
    from upsample_cli.quality.pair import Box

    match = _CROP.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--crop {text} is not a box", "write --crop X,Y,WIDTHxHEIGHT in pixels of the large image")
    left, top, width, height = (int(part) for part in match.groups())
    return Box(top, left, height, width)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--kernels {text!r} names nothing between its commas", "write --kernels bilinear,lanczos3")
    return names


def _check_output(output: Path, inputs: list[Path], *, overwrite: bool) -> None:
    from upsample_cli.atomic.same_file import check_inputs_stay
    from upsample_cli.quality.file import check_output

    check_inputs_stay(output, inputs)
    check_output(output, overwrite=overwrite, what="comparisons", suffix=".png")


def _pair(
    photo: Path, reference: Path | None, factor: int | None, degrade: str | None, limits: Limits, shown: Box | None
) -> Pair:
    from upsample_cli.quality.degrade import degradation_named
    from upsample_cli.quality.pair import reduced_pair, referenced_pair

    if reference is None:
        return reduced_pair(
            photo, _FACTOR if factor is None else factor, degradation_named(degrade or _DEGRADATION), limits, shown
        )
    if degrade is not None:
        raise UsageError("--degrade makes an image small, and --reference says that PHOTO is small", "leave one out")
    return referenced_pair(photo, reference, factor, limits, shown)


def _document(comparison: Comparison, photo: Path, reference: Path | None, output: Path | None) -> dict[str, Any]:
    pair, box, best = comparison.pair, comparison.box, comparison.best
    return {
        "input": str(photo),
        "reference": None if reference is None else str(reference),
        "factor": pair.factor,
        "degradation": pair.degradation,
        "measured": _as_list(pair.box),
        "crop": _as_list(box),
        "channels": pair.channels,
        "rounds": comparison.rounds,
        "kernels": {
            entry.name: {
                "psnr_db": round(entry.errors.psnr_db, 2) if entry.errors.squared else None,
                "ssim": None if entry.ssim is None else round(entry.ssim, 4),
                "ms_per_megapixel": None if entry.ms_per_megapixel is None else round(entry.ms_per_megapixel, 2),
            }
            for entry in comparison.entries
        },
        "best": best,
        "warnings": list(map(sentence, pair.remarks)),
        "written": None if output is None else str(output),
    }


def _as_list(box: Box) -> list[int]:
    """Left, top, width and height."""
    return [box.left, box.top, box.width, box.height]


def _print(comparison: Comparison, what: str) -> None:
    from rich.table import Table

    console = result_console()
    console.print(what, soft_wrap=True)
    best = comparison.best
    times = ["ms per output megapixel"] if comparison.rounds else []
    table = Table("kernel", "PSNR of luma", "SSIM", *times, "best")
    for entry in comparison.entries:
        marks = [score for score, key in (("PSNR", "psnr_db"), ("SSIM", "ssim")) if entry.name in best.get(key, [])]
        table.add_row(
            one_line(entry.name),
            f"{entry.errors.psnr_db:.2f} dB" if entry.errors.squared else "no error",
            "no window" if entry.ssim is None else f"{entry.ssim:.4f}",
            *([] if entry.ms_per_megapixel is None else [f"{entry.ms_per_megapixel:.1f}"]),
            ", ".join(marks),
        )
    console.print(table)
    console.print(f"crop: {comparison.box}")
