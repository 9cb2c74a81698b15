"""`tconv explain`: show a small example step by step. It imports torch, which computes two of the five ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upsample_cli.atomic.writable import check_writable
from upsample_cli.cli.spelling import called
from upsample_cli.cli.tconv import options
from upsample_cli.cli.tconv.options import check_picture, settings_given, whole_numbers
from upsample_cli.cli.tconv.printing import print_document, print_written, result_console
from upsample_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from upsample_cli.tconv.explain.explain import Explanation
    from upsample_cli.tconv.explain.grids import Grid

_MOST_MATRIX_COLUMNS = 40

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
    options.setting_option(
        help="Distance in the output between neighbouring input samples. This and the next three: one number, or "
        "one per axis."
    ),
]
Padding = Annotated[str, options.setting_option(help="Samples to crop from each end of the output.")]
OutputPadding = Annotated[str, options.setting_option(help="More samples to compute at the end of each axis.")]
Dilation = Annotated[str, options.setting_option(help="Distance between neighbouring taps of the kernel.")]
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
    typer.Option(
        "--animate", metavar="FILE", help="Draw an animation that places one input sample a frame, as a GIF or an SVG."
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write an interactive page: one file that loads nothing. Channels are not shown."
    ),
]


def explain_command(
    *,
    input_: InputArray = None,
    kernel: KernelArray = None,
    stride: Stride = "1",
    padding: Padding = "0",
    output_padding: OutputPadding = "0",
    dilation: Dilation = "1",
    channels: Channels = None,
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
      tconv explain --channels 2,3 --stride 2 --json
    """
    settings = settings_given(locals())
    check_picture(image, overwrite=overwrite)
    if animation is not None:
        from upsample_cli.tconv.explain.animation import check_animation

        with called("output", "animate"):
            check_animation(animation, overwrite=overwrite)
    if html is not None:
        with called("output", "html"):
            check_writable(html, overwrite=overwrite)
    from upsample_cli.tconv.explain.example import example
    from upsample_cli.tconv.explain.explain import as_json, explain
    from upsample_cli.tconv.explain.grids import parse_grid

    given = example(
        parse_grid(_default(kernel, "[0, 1, 2]") if input_ is None else input_, "--input"),
        parse_grid(_default(input_, "[0, 1]") if kernel is None else kernel, "--kernel"),
        channels=None if channels is None else _pair(channels),
        **settings,
    )
    explanation = explain(given)
    if image is not None:
        from upsample_cli.tconv.explain.image import write_image

        with called("output", "picture"):
            write_image(explanation, image, overwrite=overwrite)
    if animation is not None:
        from upsample_cli.tconv.explain.animation import write_animation

        with called("output", "animate"):
            write_animation(explanation, animation, overwrite=overwrite)
    if html is not None:
        from upsample_cli.tconv.explain.page import write_page

        with called("output", "html"):
            write_page(given, html, overwrite=overwrite)
    if as_document:
        written = {
            name: None if path is None else str(path)
            for name, path in (("picture", image), ("animation", animation), ("html", html))
        }
        print_document(as_json(explanation) | written)
    else:
        _print_steps(explanation)
        print_written(image, animation, verb="drawn")
        print_written(html)


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


def _print_steps(explanation: Explanation) -> None:
    from upsample_cli.tconv.explain.explain import WAYS

    steps = {"broadcast": _print_contributions, "insertion": _print_insertion, "matrix": _print_matrix}
    console, shown = result_console(), explanation.example
    console.print(str(shown.layer), style="bold")
    _print_row(console, [("input X", shown.input), ("kernel K", _as_planes(shown.kernel))])
    for number, (name, meaning) in enumerate(WAYS.items()):
        console.print(f"\n({'abcde'[number]}) {meaning}", style="bold")
        if name in steps:
            steps[name](console, explanation)
        elif name == "autograd":
            console.print("the gradient of <conv(y, K), X> with respect to y, which has the output's size")
        _print_row(console, [("output", explanation.outputs[name])])
    difference = explanation.largest_difference
    agreement = f"to {difference:.1g}" if difference else "exactly"
    console.print(f"\nall five agree {agreement}", style="bold green")


def _print_contributions(console: Console, explanation: Explanation) -> None:
    _print_row(console, explanation.titled)
    _print_row(console, [("their sum", explanation.canvas)])
    if explanation.crops:
        padding = [axis.padding for axis in explanation.example.layer.each_axis]
        console.print(f"padding {_plain(padding)} crops that much at each end")


def _print_insertion(console: Console, explanation: Explanation) -> None:
    axes = explanation.example.layer.each_axis
    zeros, around = [axis.stride - 1 for axis in axes], [axis.reach - axis.padding for axis in axes]
    end = [axis.output_padding for axis in axes]
    console.print(
        f"stride - 1 = {_plain(zeros)} zeros between samples; dilation*(kernel_size-1) - padding = {_plain(around)} "
        "around" + (f"; output_padding {_plain(end)} more at the end" if any(end) else "")
    )
    _print_row(console, [("with zeros", explanation.inserted), ("flipped kernel", _as_planes(explanation.flipped))])


def _plain(numbers: list[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else ",".join(str(number) for number in numbers)


def _as_planes(kernel: Grid) -> Grid:
    """Reshape a kernel: (in, out, *size) -> (in * out, *size)."""
    return kernel.reshape(-1, *kernel.shape[2:])


def _print_matrix(console: Console, explanation: Explanation) -> None:
    rows, columns = explanation.matrix.shape
    console.print(
        f"the convolution takes {columns} samples to {rows}: C is {rows} x {columns}; "
        f"the transposed convolution is C^T, {columns} x {rows}, times X as a column"
    )
    if max(rows, columns) > _MOST_MATRIX_COLUMNS:
        console.print("(too large to print; --json has it)")
        return
    _print_row(console, [("C", explanation.matrix[None])])
    _print_row(console, [("C^T", explanation.matrix.T[None]), ("X", explanation.example.input.reshape(1, -1, 1))])


def _print_row(console: Console, parts: list[tuple[str, Grid]]) -> None:
    """Print titled arrays side by side, as many as fit into the width, with channels below each other."""
    blocks = [_block(title, array) for title, array in parts]
    while blocks:
        count, width = 0, 0
        limit = min(console.width, 120)
        while count < len(blocks) and (not count or width + len(blocks[count][0]) <= limit):
            width += len(blocks[count][0]) + 3
            count += 1
        taken, blocks = blocks[:count], blocks[count:]
        for number in range(max(len(block) for block in taken)):
            line = taken[0][0].blank_copy()
            for block in taken:
                line.append(block[number] if number < len(block) else " " * len(block[0])).append("   ")
            line.rstrip()
            console.print(line)


def _block(title: str, array: Grid) -> list[Text]:
    """A title and rows of numbers, all lines with the same length; zeros are dimmed."""
    from rich.text import Text

    from upsample_cli.tconv.explain.grids import number_text

    planes = array if array.ndim == 3 else array[:, None]
    texts = [[[number_text(value) for value in row] for row in plane] for plane in planes]
    cell = max(len(text) for plane in texts for row in plane for text in row)
    lines = [Text(title, style="italic")]
    for number, plane in enumerate(texts):
        if number:
            lines.append(Text())
        for row in plane:
            line = Text()
            for column, text in enumerate(row):
                line.append(" " if column else "  ")
                line.append(text.rjust(cell), style="dim" if text == "0" else "")
            lines.append(line)
    width = max(len(line) for line in lines)
    for line in lines:
        line.pad_right(width - len(line))
    return lines
