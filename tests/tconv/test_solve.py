"""The solutions are exactly those that torch confirms within the bounds, and their ranking is correct."""

import itertools
import json
import sys
import time
from collections import Counter
from fractions import Fraction

import pytest
import torch
from support.commands import call
from torch import nn

from upsample_cli.cli import tconv
from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.shape import shape
from upsample_cli.tconv.solutions import smooth_alternative, why_best
from upsample_cli.tconv.solve import solve


def by_torch(before, after, most_kernel, most_stride, transposed):
    """Every setting, tried with torch's layers: (kernel_size, stride, padding, output_padding)."""
    found = set()
    for kernel_size, stride in itertools.product(range(1, most_kernel + 1), range(1, most_stride + 1)):
        for padding, extra in itertools.product(range(kernel_size), range(stride if transposed else 1)):
            kind = nn.ConvTranspose1d if transposed else nn.Conv1d
            more = {"output_padding": extra} if transposed else {}
            try:
                layer = kind(1, 1, kernel_size, stride, padding, device="meta", **more)
                size = layer(torch.empty(1, 1, before, device="meta")).shape[2]
            except (RuntimeError, ValueError):
                continue
            if size == after:
                found.add((kernel_size, stride, padding, extra))
    return found


@pytest.mark.parametrize(
    ("before", "after", "transposed"),
    [
        (7, 14, True),
        (7, 13, True),
        (5, 15, True),
        (9, 9, True),
        (5, 7, True),
        (14, 7, False),
        (15, 7, False),
        (9, 9, False),
    ],
)
def test_exactly_the_settings_within_the_bounds_are_found(before, after, transposed):
    large, small = max(before, after), min(before, after)
    ratio = -(-large // small)
    found = {
        (one.layer.kernel_size, one.layer.stride, one.layer.padding, getattr(one.layer, "output_padding", 0))
        for one in solve((before,), (after,), conv=not transposed).found
    }
    expected = by_torch(before, after, 2 * ratio + 3, ratio + 1, transposed)
    assert found == expected
    assert len(found) >= 3
    assert found != by_torch(before, after + 1, 2 * ratio + 3, ratio + 1, transposed)  # the control


@pytest.mark.parametrize(
    ("before", "after", "transposed"), [(7, 14, True), (5, 15, True), (14, 7, False), (12, 4, False)]
)
def test_exact_means_the_same_factor_at_every_size(before, after, transposed):
    for one in solve((before,), (after,), conv=not transposed).found:
        factor = max(before, after) // min(before, after)
        same = []
        for count in range(8, 30):
            start, goal = (count, count * factor) if transposed else (count * factor, count)
            same.append(shape((start,), [one.layer])[0].output == (goal,))
        assert all(same) == one.exact


def test_the_best_solutions_for_doubling_are_the_common_layers():
    solutions = solve((112, 112), (224, 224))
    assert str(solutions.found[0].layer) == "ConvTranspose2d(kernel_size=2, stride=2)"
    assert str(smooth_alternative(solutions).layer) == "ConvTranspose2d(kernel_size=4, stride=2, padding=1)"
    assert "centred" in why_best(solutions.found[0])
    ranks = [one.rank for one in solutions.found]
    assert ranks == sorted(ranks)
    threes = solve((112,), (224,), kernel_size=(3,)).found
    assert [str(one.shift[0]) for one in threes] == ["-1/2"]


def test_every_solution_of_three_axes_gives_the_size():
    solutions = solve((10, 50, 100), (19, 100, 200))
    layers = [str(one.layer) for one in solutions.found]
    assert "ConvTranspose3d(kernel_size=3, stride=2, padding=1, output_padding=(0, 1, 1))" in layers
    for one in solutions.found:
        assert shape((10, 50, 100), [one.layer])[0].output == (19, 100, 200)


def by_definition(layer, sizes, conv):
    """The order of `docs/tconv/solve.md`, computed from a layer of torch with these settings and from its text."""
    settings = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding")}
    extra = 0 if conv else layer.output_padding
    each = [
        [value[axis] if isinstance(value, tuple) else value for value in (*settings.values(), extra)]
        for axis in range(len(sizes))
    ]
    missed, exact, moved, even, taps = set(), True, Fraction(0), True, 1
    for kernel_size, stride, padding, more in each:
        taps *= kernel_size
        even &= kernel_size % stride == 0
        shift = Fraction(kernel_size - stride, 2) - padding
        moved += abs(shift / stride if conv else shift)
        if conv:
            exact &= all((9 * stride * n + 2 * padding - kernel_size) // stride + 1 == 9 * n for n in (9, 10))
            continue
        exact &= all((n - 1) * stride - 2 * padding + kernel_size + more == n * stride for n in (9, 10))
        outputs = [i * stride + tap - padding for i in range(40) for tap in range(kernel_size)]
        size = 39 * stride - 2 * padding + kernel_size + more
        ends = (min(at for at in outputs if at >= 0), size - 1 - max(at for at in outputs if at < size))
        if any(ends):
            missed.add(ends)
    uneven = sum(isinstance(value, tuple) for value in (*settings.values(), extra))
    return len(missed), not exact, moved, not even, uneven, taps, str(layer)


@pytest.mark.parametrize(
    ("before", "after", "conv"),
    [((1,), (9,), False), ((5,), (14,), False), ((9,), (1,), True), ((3, 2), (6, 7), False), ((13, 4), (4, 2), True)],
)
def test_the_first_solutions_are_the_first_of_all_by_definition(before, after, conv, monkeypatch):
    every = solve(before, after, conv=conv)
    assert every.complete
    keys = [by_definition(one.layer, before, conv) for one in every.found]
    assert keys == sorted(keys)
    assert len(keys) > 20
    assert [key[2:] for key in keys] != sorted(key[2:] for key in keys)  # the control: by another order
    if len(before) == 1:
        monkeypatch.setattr("upsample_cli.tconv.solve.MOST_COMBINED", 15)
        first = solve(before, after, conv=conv)
        assert not first.complete
        assert [one.text for one in first.found] == [one.text for one in every.found][:15]


@pytest.mark.parametrize(("before", "after", "conv"), [((1,), (65,), False), ((65,), (1,), True)])
def test_the_largest_searches_take_a_second(before, after, conv):
    start = time.process_time()
    solve(before, after, conv=conv)
    assert time.process_time() - start < 4  # it took 5 on an idle processor


def test_any_size_keeps_only_exact_solutions():
    assert all(one.exact for one in solve((7,), (14,), any_size=True).found)
    assert len(solve((1,), (2,), any_size=True).found) < len(solve((1,), (2,)).found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("112", "226", "--kernel-size", "3", "--stride", "2", "--padding", "1"),
            "leads 112 to 226; the nearest is 224;",
        ),
        (
            ("3", "7", "--any-size"),
            "no layer within the bounds leads 3 to 7 at every size; 7 is not a whole multiple of 3",
        ),
        (("10", "5"), "leads 10 to 5; add --conv: "),
        (("5", "10", "--conv"), "leads 5 to 10; leave out --conv: "),
        (("3x3", "7"), "2 axes before and 1 after; give the same 1 to 3 axes"),
        (("0", "7"), "size 0 is too small; use 1 or more"),
        (("3", "7", "--kernel-size", "0"), "kernel_size 0 is too small; use 1 or more"),
        (("3", "photo.jpg"), "--to photo.jpg is not a size; write 112"),
        (("3", "7", "--stride", "x"), "--stride x is not a whole number"),
        (("7", "3", "--conv", "--output-padding", "1"), "an ordinary convolution has no output_padding"),
    ],
)
def test_a_problem_without_a_solution_exits_with_2_and_one_line(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tconv", "solve", "--from", arguments[0], "--to", *arguments[1:]])
    with pytest.raises(SystemExit) as leaving:
        tconv.main()
    printed = capsys.readouterr()
    assert (leaving.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert message in printed.err


def test_the_command_prints_the_result_of_the_function(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tconv", "solve", "--from", "7x5", "--to", "14x15", "--json"])
    with pytest.raises(SystemExit) as leaving:
        tconv.main()
    document = json.loads(capsys.readouterr().out)
    assert leaving.value.code == 0
    expected = [str(one.layer) for one in solve((7, 5), (14, 15)).found]
    assert [one["layer"] for one in document["solutions"]] == expected
    for text in expected:  # settings are printed without channels; with channels they are PyTorch's
        assert shape((7, 5), [parse_layer(text.replace("(", "(1, 1, ", 1))])[0].output == (14, 15)


def test_more_than_three_axes_cannot_be_solved():
    with pytest.raises(GeometryError, match="4 axes before and 4 after"):
        solve((1, 2, 3, 4), (2, 4, 6, 8))


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_a_solution_is_even_if_every_output_gets_equally_many_taps(dilation):
    """Compared with the definition: which taps reach an output far from the ends."""
    found = solve((7,), (15,), dilation=(dilation,), kernel_size=(2, 4, 6), stride=(2,)).found
    assert {one.even for one in found} == ({True} if dilation % 2 else {False})
    for one in found:
        (axis,) = one.layer.each_axis
        reached = Counter(2 * source + tap * dilation for source in range(50) for tap in range(axis.kernel_size))
        assert one.even == (len({reached[position] for position in range(40, 60)}) == 1)


def test_settings_with_outputs_that_no_tap_reaches_come_last_with_a_note(capsys, monkeypatch):
    found = solve((7,), (15,)).found
    assert not found[0].unreached
    for one in found:  # torch's layer of ones over ones gives 0 where no tap reaches
        layer = eval(f"nn.{str(one.layer).replace('(', '(1, 1, ', 1)}", {"nn": nn}).requires_grad_(False)
        layer.weight.fill_(1)
        layer.bias.zero_()
        y = layer(torch.ones(1, 1, 7))[0, 0]
        assert bool(one.unreached) == bool(y[0] == 0 or y[-1] == 0)
    (only,) = solve((7,), (15,), kernel_size=(2,), stride=(2,)).found
    assert only.unreached == ("no tap reaches the last output",)
    assert "no tap reaches the last output" in why_best(only)
    status, out, _ = call(
        capsys, monkeypatch, "solve", "--from", "7", "--to", "15", "--kernel-size", "2", "--stride", "2"
    )
    assert status == 0
    assert "note: with the first, no tap reaches the last output" in out
    assert "no tap" not in call(capsys, monkeypatch, "solve", "--from", "7", "--to", "14", "--kernel-size", "4")[1]
