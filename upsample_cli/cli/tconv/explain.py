"""`tconv explain`: show a small example step by step. It imports torch, which computes two of the five ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upsample_cli.atomic.writable import check_outputs_differ, check_writable
from upsample_cli.cli.spelling import called
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.explain_text import print_forward, print_steps
from upsample_cli.cli.tconv.options import check_picture, refuse_output_padding, settings_given, whole_numbers
from upsample_cli.cli.tconv.printing import print_document, print_written
from upsample_cli.errors import UsageError

if TYPE_CHECKING:
    from upsample_cli.tconv.explain.explain import Explanation
    from upsample_cli.tconv.explain.grids import Grid

InputArray = Annotated[
    str | None,
    typer.Option("--input", metavar="ARRAY", help='The input, as numbers in brackets. Default "[[0, 1], [2, 3]]".'),
]
KernelArray = Annotated[
    str | None,
    typer.Option(
        metavar="ARRAY", help="The kernel, likewise; with channels, two more levels of brackets: in, then out."
    ),
]
Stride = Annotated[
    str,
    options.stride_option(
        help="Distance in the output between neighbouring input samples. This and the next three: one number, or "
        "one per axis."
    ),
]
Padding = Annotated[str, options.padding_option(help="Samples to crop from each end of the output.")]
OutputPadding = Annotated[
    str | None, options.setting_option(help="More samples to compute at the end of each axis. Default 0.")
]
Dilation = Annotated[str, options.dilation_option(help="Distance between neighbouring taps of the kernel.")]
Conv = Annotated[bool, typer.Option("--conv", help="Explain the ordinary convolution with these settings instead.")]
Axes = Annotated[
    int | None, options.number_option(help="1, 2 or 3. Default: that of the kernel, of which two can be channels.")
]
Channels = Annotated[
    str | None,
    typer.Option(
        metavar="IN,OUT",
        help="Use several channels, such as 2,3. Channel i is the input plus i; the kernel from channel i to o is the "
        "kernel plus i * OUT + o.",
    ),
]
Picture = Annotated[Path | None, options.picture_option(help="Draw the steps as a PNG.")]
Animation = Annotated[
    Path | None,
    options.file_option(
        "--animate", help="Draw an animation that places one input sample a frame, as a GIF or an SVG."
    ),
]
Html = Annotated[
    Path | None,
    options.file_option(
        "--html", help="Write an interactive page: one file that loads nothing. Channels are not shown."
    ),
]


def explain_command(
    *,
    input_: InputArray = None,
    kernel: KernelArray = None,
    stride: Stride = "1",
    padding: Padding = "0",
    output_padding: OutputPadding = None,
    dilation: Dilation = "1",
    channels: Channels = None,
    conv: Conv = False,
    axes: Axes = None,
    image: Picture = None,
    animation: Animation = None,
    html: Html = None,
    overwrite: options.Overwrite = False,
    as_document: options.AsDocument = False,
) -> None:
    """Show a small transposed convolution step by step, computed in five ways that are compared.

    \b
    Examples:
      tconv explain
      tconv explain --stride 2
      tconv explain --padding 1 --picture steps.png
      tconv explain --stride 2 --animate steps.gif
      tconv explain --stride 2 --html page.html
      tconv explain --input "[1, 2, 3]" --kernel "[0.5, 1, 0.5]" --stride 2
      tconv explain --conv --input "[0, 1, 2, 3]" --kernel "[1, 2]"
      tconv explain --channels 2,3 --stride 2 --json
    """
    settings = settings_given(locals())
    drawings = {"picture": image, "animate": animation, "html": html}
    _check_drawings(**drawings, overwrite=overwrite)
    from upsample_cli.tconv.explain.grids import parse_grid

    given = parse_grid(_default(kernel, "[0, 1, 2]") if input_ is None else input_, "--input")
    taps = parse_grid(_default(input_, "[0, 1]") if kernel is None else kernel, "--kernel")
    several = None if channels is None else _pair(channels)
    if conv:
        refuse_output_padding(settings, conv=True)
        if any(drawings.values()):
            raise UsageError("drawings show the transposed convolution", "leave out --conv, or the drawing")
        _explain_forward(given, taps, as_document=as_document, channels=several, axes=axes, **settings)
        return
    from upsample_cli.tconv.explain.example import example
    from upsample_cli.tconv.explain.explain import as_json, explain

    explanation = explain(example(given, taps, channels=several, axes=axes, **settings))
    _write_drawings(explanation, **drawings, overwrite=overwrite)
    if as_document:
        paths = {"picture": image, "animation": animation, "html": html}
        print_document(as_json(explanation) | {name: path and str(path) for name, path in paths.items()})
    else:
        print_steps(explanation)
        print_written(image, animation, verb="drawn")
        print_written(html)


def _check_drawings(picture: Path | None, animate: Path | None, html: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    check_outputs_differ((picture, animate, html))
    check_picture(picture, overwrite=overwrite)
    if animate is not None:
        from upsample_cli.tconv.explain.animation import check_animation

        with called("output", "animate"):
            check_animation(animate, overwrite=overwrite)
    if html is not None:
        with called("output", "html"):
            check_writable(html, overwrite=overwrite)


def _write_drawings(
    explanation: Explanation, picture: Path | None, animate: Path | None, html: Path | None, *, overwrite: bool
) -> None:
    if picture is not None:
        from upsample_cli.tconv.explain.image import write_image

        with called("output", "picture"):
            write_image(explanation, picture, overwrite=overwrite)
    if animate is not None:
        from upsample_cli.tconv.explain.animation import write_animation

        with called("output", "animate"):
            write_animation(explanation, animate, overwrite=overwrite)
    if html is not None:
        from upsample_cli.tconv.explain.page import write_page

        with called("output", "html"):
            write_page(explanation.example, html, overwrite=overwrite)


def _explain_forward(given: Grid, taps: Grid, *, as_document: bool, **settings: Any) -> None:
    from upsample_cli.tconv.explain.forward import explain_forward, forward_json

    forward = explain_forward(given, taps, **settings)
    if as_document:
        print_document(forward_json(forward))
    else:
        print_forward(forward)


def _default(other: str | None, line: str) -> str:
    """The default of the input or the kernel, with the same number of axes as the other one."""
    return "[[0, 1], [2, 3]]" if other is None or other.strip().startswith("[[") else line


def _pair(text: str) -> tuple[int, int]:
    numbers = whole_numbers("channels", text)
    if isinstance(numbers, int):
        return numbers, numbers
    if len(numbers) != 2:
        raise UsageError(f"--channels {text} are not two numbers", "write --channels 2,3: in, then out")
    return numbers[0], numbers[1]
