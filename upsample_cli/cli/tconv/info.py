"""`tconv info`: describe an image file. It reads only the header, and does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.cli.report.printable import one_line
from upsample_cli.cli.spelling import sentence
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.printing import print_document, print_facts, result_console
from upsample_cli.errors import UsageError
from upsample_cli.geometry.sizes import MAX_FACTOR
from upsample_cli.images.formats import FORMATS, read_format
from upsample_cli.images.model import Layout
from upsample_cli.images.streams import NAME, image_input, spooled
from upsample_cli.models import SUFFIXES
from upsample_cli.text import parse_quantity

if TYPE_CHECKING:
    from upsample_cli.images.about import About, Offer

_COLOURS = {"grey": "grey", "rgb": "RGB", "cmyk": "CMYK", "cielab": "Lab", "icclab": "Lab"}
_SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_FRAMES = {"animation": "frames", "pages": "pages", "views": "views"}
_MOST_TEXT = 60
_TURNS = {
    2: "mirrored", 3: "turned by 180°", 4: "flipped", 5: "transposed", 6: "turned right", 7: "transversed",
    8: "turned left",
}  # fmt: skip

File = Annotated[str, typer.Argument(metavar="FILE", help="The image, or weights of a network; - for standard input.")]
Factor = Annotated[int, options.factor_option(metavar="N", help="Whole factor, 1 to 64, for the sizes of the outputs.")]


def info_command(
    file: File,
    *,
    factor: Factor = 2,
    max_pixels: options.MaxPixels = options.DEFAULT_MAX_PIXELS,
    as_document: options.AsDocument = False,
) -> None:
    """Show what an image file contains, and what each output format would lose.

    For a file of weights (.safetensors, .pth, .pt), show the network in it and how it can be cut into tiles.

    \b
    Examples:
      tconv info photo.jpg
      tconv info scan.tif --factor 8 --json
      tconv info network.safetensors
    """
    if file.lower().endswith(SUFFIXES):
        from upsample_cli.cli.tconv.info_model import print_model

        print_model(file, as_document=as_document)
        return
    from upsample_cli.images.about import about_image  # imports Pillow

    if not 1 <= factor <= MAX_FACTOR:
        raise UsageError(f"--factor {factor} is not a whole number from 1 to {MAX_FACTOR}", "give --factor 2")
    source = spooled(image_input(sys.stdin)) if file == NAME else file
    about = about_image(source, factor=factor, max_pixels=parse_quantity(max_pixels, "--max-pixels"))
    if as_document:
        print_document(document(about, factor))
    else:
        _print(about, factor)


def document(about: About, factor: int) -> dict[str, Any]:
    """The JSON document: the contents of the file, and for each output format the losses and whether it can be used."""
    info, metadata = about.info, about.metadata
    return {
        "input": about.path,
        "size_bytes": about.size_bytes,
        "format": info.format,
        "width": info.width,
        "height": info.height,
        "colour": info.layout.colour,
        "alpha": info.layout.alpha,
        "depth": info.layout.depth,
        "lossless": info.lossless,
        "orientation": about.orientation,
        "frames": info.frames.count if info.frames else 1,
        "icc": about.icc_description,
        "colour_space": about.colour_space,
        "camera": about.camera,
        "date": about.date,
        "exif_bytes": len(metadata.exif or b""),
        "xmp_bytes": len(metadata.xmp or b""),
        "iptc_bytes": len(metadata.iptc or b""),
        "dpi": metadata.dpi,
        "text": [list(pair) for pair in metadata.text],
        "warnings": list(map(sentence, info.losses)),
        "factor": factor,
        "outputs": {
            name: {
                "width": info.width * factor,
                "height": info.height * factor,
                "loses": list(map(sentence, offer.losses)),
                "quality": offer.quality,
                "refused": None if offer.refusal is None else sentence(offer.refusal),
            }
            for name, offer in about.outputs.items()
        },
    }


def _print(about: About, factor: int) -> None:
    """Print a table of the contents of the file, and one of the losses by output format."""
    from rich.table import Table

    console = result_console()
    print_facts(console, about.path, list(_facts(about)))
    info = about.info
    console.print(f"at x{factor}, {info.width * factor}x{info.height * factor}:")
    offers = Table("written as", "what is lost")
    for name, offer in about.outputs.items():
        offers.add_row(FORMATS[name].title, "\n".join(one_line(line) for line in _losses(offer)))
    console.print(offers)


def _losses(offer: Offer) -> list[str]:
    if offer.refusal:
        return [f"impossible: {sentence(offer.refusal)}"]
    only = "" if offer.losses else "only "
    coding = f"{only}what its coding takes at quality {offer.quality} (--quality 100 takes least)"
    return [*map(sentence, offer.losses), *([coding] if offer.quality is not None else [])] or ["nothing"]


def _facts(about: About) -> Iterator[tuple[str, str]]:
    info, metadata = about.info, about.metadata
    yield (
        "format",
        read_format(info.format).title
        + (" without loss" if info.lossless else "")
        + (f", chroma {_SUBSAMPLINGS[info.jpeg_subsampling]}" if info.jpeg_subsampling in _SUBSAMPLINGS else ""),
    )
    yield "size", f"{info.width}x{info.height} in {about.size_bytes} bytes (only the header was read)"
    yield "pixels", _layout_text(info.layout)
    if about.orientation in _TURNS:
        yield (
            "orientation",
            f"{about.orientation}: to be {_TURNS[about.orientation]} to stand upright, as it is shown here",
        )
    if info.frames is not None:
        yield _FRAMES[info.frames.kind], str(info.frames.count)
    facts = (
        ("ICC profile", about.icc_description),
        ("colour space", about.colour_space),
        ("camera", about.camera),
        ("date", about.date),
        ("EXIF", f"{len(metadata.exif)} bytes" if metadata.exif else None),
        ("XMP", f"{len(metadata.xmp)} bytes" if metadata.xmp else None),
        ("IPTC", f"{len(metadata.iptc)} bytes" if metadata.iptc else None),
        ("resolution", "{:g} x {:g} dpi".format(*metadata.dpi) if metadata.dpi else None),
        *((keyword, text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…") for keyword, text in metadata.text),
        *(("warning", sentence(loss, detailed=True)) for loss in info.losses),
    )
    yield from ((name, value) for name, value in facts if value)


def _layout_text(layout: Layout) -> str:
    number = f"{layout.depth} bits" if layout.depth < 32 else "32-bit floating point"
    return f"{_COLOURS[layout.colour]}{' with transparency' if layout.alpha else ''}, {number} per channel"
