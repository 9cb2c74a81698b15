"""Print the steps of `tconv explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upsample_cli.cli.tconv.printing import result_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from upsample_cli.tconv.explain.explain import Explanation
    from upsample_cli.tconv.explain.forward import Forward
    from upsample_cli.tconv.explain.grids import Grid

_MOST_MATRIX_COLUMNS = 40


def print_steps(explanation: Explanation) -> None:
    """Print a transposed convolution in all its ways."""
    from upsample_cli.tconv.explain.explain import WAYS

    steps = {"broadcast": _print_contributions, "insertion": _print_insertion, "matrix": _print_matrix}
    console, shown = result_console(), explanation.example
    console.print(str(shown.layer), style="bold")
    _print_row(console, [("input X", shown.input), ("kernel K", _merged(shown.kernel))])
    for number, (name, meaning) in enumerate(WAYS.items()):
        console.print(f"\n({'abcde'[number]}) {meaning}", style="bold")
        if name in steps:
            steps[name](console, explanation)
        elif name == "autograd":
            console.print("the gradient of <conv(y, K), X> with respect to y, which has the output's size")
        _print_row(console, [("output", explanation.outputs[name])])
    _print_agreement(console, "five", explanation.largest_difference)


def print_forward(forward: Forward) -> None:
    """Print an ordinary convolution in all its ways."""
    from upsample_cli.tconv.explain.forward import FORWARD_WAYS

    steps = {"windows": _print_windows, "matrix": _print_forward_matrix}
    console = result_console()
    console.print(str(forward.layer), style="bold")
    _print_row(console, [("input X", forward.input), ("kernel K", _merged(forward.kernel))])
    for letter, (name, meaning) in zip("abc", FORWARD_WAYS.items(), strict=True):
        console.print(f"\n({letter}) {meaning}", style="bold")
        if name in steps:
            steps[name](console, forward)
        _print_row(console, [("output Y", forward.outputs[name])])
    _print_agreement(console, "three", forward.largest_difference)


def _print_windows(console: Console, forward: Forward) -> None:
    _print_row(console, forward.titled)


def _print_forward_matrix(console: Console, forward: Forward) -> None:
    rows, columns = forward.matrix.shape
    console.print(
        f"W is {rows} x {columns}: Y = W X. The transposed convolution with the same settings is W^T: it takes "
        f"{rows} samples to {columns}"
    )
    _print_matrices(console, [("W", forward.matrix[None]), ("X", forward.input.reshape(1, -1, 1))])


def _print_agreement(console: Console, count: str, difference: float) -> None:
    agreement = f"to {difference:.1g}" if difference else "exactly"
    console.print(f"\nall {count} agree {agreement}", style="bold green")


def _merged(kernel: Grid) -> Grid:
    """Reshape a kernel: (channels, channels, *size) -> (all pairs of them, *size)."""
    return kernel.reshape(-1, *kernel.shape[2:])


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
    _print_row(console, [("with zeros", explanation.inserted), ("flipped kernel", _merged(explanation.flipped))])


def _plain(numbers: list[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else ",".join(str(number) for number in numbers)


def _print_matrix(console: Console, explanation: Explanation) -> None:
    rows, columns = explanation.matrix.shape
    console.print(
        f"the convolution takes {columns} samples to {rows}: C is {rows} x {columns}; "
        f"the transposed convolution is C^T, {columns} x {rows}, times X as a column"
    )
    _print_matrices(console, [("C", explanation.matrix[None])])
    column = explanation.example.input.reshape(1, -1, 1)
    _print_matrices(console, [("C^T", explanation.matrix.T[None]), ("X", column)])


def _print_matrices(console: Console, parts: list[tuple[str, Grid]]) -> None:
    """Print the first array, a matrix, and the arrays after it, unless it is too large."""
    if max(parts[0][1].shape) > _MOST_MATRIX_COLUMNS:
        console.print(f"({parts[0][0]} is too large to print; --json has it)")
    else:
        _print_row(console, parts)


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

    from upsample_cli.tconv.explain.grids import as_planes, number_text

    texts = [[[number_text(value) for value in row] for row in plane] for plane in as_planes(array)]
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
