"""Chunks of random chains, run by torch, give the same numbers as one run."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from torch import nn

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.chunks import Overlap
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.overlap import overlaps
from upsample_cli.tconv.overlap_check import check

small = st.integers(1, 3)
layers = st.one_of(
    st.builds("Conv1d(2, 2, {}, {}, {}, {})".format, st.integers(1, 5), small, st.integers(0, 4), st.integers(1, 2)),
    st.builds("Conv1d(2, 2, {}, padding={}, padding_mode='{}')".format, small, small,
              st.sampled_from(["reflect", "replicate"])),
    st.builds("ConvTranspose1d(2, 2, {}, {}, {}, {}, dilation=2)".format, st.integers(1, 5), small, st.integers(0, 3),
              st.integers(0, 1)),
    st.builds("MaxPool1d({}, {}, ceil_mode={})".format, st.integers(1, 4), small, st.booleans()),
    st.builds("AvgPool1d(4, {}, 1, ceil_mode={})".format, small, st.booleans()),
    st.builds("Upsample(scale_factor={}, mode='{}')".format, small, st.sampled_from(["nearest", "linear"])),
    st.builds("ConstantPad1d(({}, {}), 0.5)".format, st.integers(-2, 3), st.integers(-2, 3)),
    st.sampled_from(["ReLU()", "BatchNorm1d(2)", "ReflectionPad1d(2)", "ReplicationPad1d(3)"]),
)  # fmt: skip


def network(texts):
    """The layers with whole weights above zero, so that float64 sums are exact and no sample is hidden."""
    built = nn.Sequential(*(eval(f"nn.{text}", {"nn": nn}) for text in texts)).double().eval()
    for values in built.parameters():
        values.data = torch.randint(1, 5, values.shape).double()
    return built


def joined(built, tensor, cuts):
    pieces = []
    for cut in cuts:
        ran = built(tensor[..., cut.read[0] : cut.read[1]])
        pieces.append(ran[..., cut.drop : cut.drop + cut.keep[1] - cut.keep[0]])
    return torch.cat(pieces, dim=-1)


def test_chunks_equal_one_run():
    seen = Counter()

    @settings(deadline=None, max_examples=300, derandomize=True)
    @given(st.lists(layers, min_size=1, max_size=4), st.integers(20, 90), st.integers(1, 5))
    def compare(texts, size, steps):
        try:
            (found,) = overlaps([parse_layer(text) for text in texts], (size,))
        except GeometryError:
            seen["refused"] += 1
            return
        tensor = torch.randint(-9, 10, (1, 2, size)).double()
        built = network(texts)
        with torch.no_grad():
            whole = built(tensor)
            try:
                made = joined(built, tensor, found.cuts(steps * found.step))
            except RuntimeError:  # a run that is shorter than a reflected padding
                seen["too short"] += 1
                return
        # Averages of three windows' samples are not exact in float64.
        torch.testing.assert_close(made, whole, rtol=0, atol=1e-9 * (1 + float(whole.abs().max())))
        seen["equal"] += 1

    compare()
    assert seen["equal"] > 250, seen


CHAIN = ["Conv1d(2, 2, 7, 2, 3)", "ReLU()", "Conv1d(2, 2, 3, 1, 2, 2)", "ConvTranspose1d(2, 2, 8, 2, 3)"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_less_context_gives_other_numbers(side):
    """The negative control."""
    (found,) = overlaps([parse_layer(text) for text in CHAIN], (200,))
    cut = found.cuts(40)[2]
    first = found.step if side == "left" else 0
    start, stop = cut.read[0] + first, cut.read[1] - (side == "right")
    less = replace(cut, read=(start, stop), drop=cut.drop - first // found.step * found.outputs)
    tensor = torch.randint(1, 10, (1, 2, 200)).double()
    built = network(CHAIN)
    with torch.no_grad():
        right = built(tensor)[..., cut.keep[0] : cut.keep[1]]
        assert torch.equal(joined(built, tensor, [cut]), right)
        other = joined(built, tensor, [less])
    assert other.shape != right.shape or not torch.equal(other, right)


def test_a_context_of_less_than_a_step_is_the_measured_reach():
    """The context counts from the chunk: changing a sample beyond it never changes the chunk's outputs."""
    (found,) = overlaps([parse_layer(text) for text in CHAIN], (200,))
    built, tensor = network(CHAIN), torch.randint(1, 10, (1, 2, 200)).double()
    first, after = 80, 120
    with torch.no_grad():
        before = built(tensor)[..., first:after]
        changed = []
        for sample in range(200):
            other = tensor.clone()
            other[..., sample] += 100
            if not torch.equal(built(other)[..., first:after], before):
                changed.append(sample)
    assert (first - changed[0], changed[-1] - after + 1) == (found.left, found.right)


def test_the_check_finds_a_wrong_context():
    chain = [parse_layer(text) for text in CHAIN]
    (found,) = overlaps(chain, (200,))
    assert check(chain, (200,), [found.cuts(40)]).is_equal

    class Short(Overlap):
        def reads(self, first, last):
            low, high = super().reads(first, last)
            return min(low + 4, first), high

    wrong = Short(found.left, found.right, found.step, found.outputs, found.links, False)
    result = check(chain, (200,), [wrong.cuts(40)])
    assert not result.is_equal
    assert result.difference > 0.001


def test_images_and_channels_that_only_shuffles_know():
    texts = ["PixelUnshuffle(2)", "Conv2d(8, 16, 3, padding=1)", "PixelShuffle(4)", "Conv2d(1, 1, (3, 5), padding=1)"]
    chain = [parse_layer(text) for text in texts]
    found = overlaps(chain, (64, 48))
    assert [one.step for one in found] == [2, 2]
    assert check(chain, (64, 48), [one.cuts(16) for one in found]).is_equal


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["InstanceNorm1d(8)"], "layer 1, InstanceNorm1d(8): it can mix all samples of an axis, so no context"),
        (["Conv1d(1, 1, 3, padding=1, padding_mode='circular')"], "its first outputs depend on the end of the input"),
        (["AdaptiveAvgPool1d(7)", "--size", "100"], "its outputs are not spaced evenly along length"),
        (["Upsample(scale_factor=1.5)", "--size", "101"], "its outputs are not spaced evenly along length"),
        (["Conv1d(1, 1, 4, 4)", "--chunk", "10"], "the chunk 10 is not a multiple of 4, the grid of the strides"),
        (["Conv1d(1, 1, 4, 4)", "--chunk", "0"], "the chunk 0 is too small; use 4 or more"),
        (["Conv1d(1, 1, 4)", "--chunk", "3,4"], "--chunk 3,4 has 2 numbers for 1 axes"),
        (["Conv1d(1, 1, 4)", "--size", "a"], "--size a is not a size"),
        (["ReflectionPad1d(9)", "--size", "60", "--chunk", "1"], "a run of 1 samples is too short: ReflectionPad1d"),
        (["Conv1d(1, 1, 1)", "--size", "9999999", "--chunk", "1", "--json"], "9999999 chunks are too many to list"),
        (["Conv1d(1, 64, 1)", "--size", "99999999", "--check"], "give a smaller size"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_one_line(capsys, monkeypatch, arguments, line):
    status, output, errors = call(capsys, monkeypatch, "overlap", *arguments)
    assert (status, output) == (2, "")
    assert line in errors
    assert len(errors.splitlines()) == 1


def test_the_command_lists_and_checks_cuts(capsys, monkeypatch):
    arguments = [
        "overlap",
        "Conv1d(1, 8, 7, 2, 3)",
        "ConvTranspose1d(8, 1, 8, 2, 3)",
        "--size",
        "1000",
        "--chunk",
        "64",
    ]
    status, output, _ = call(capsys, monkeypatch, *arguments, "--json", "--check")
    assert status == 0
    document = json.loads(output)
    (axis,) = document["axes"]
    assert {name: axis[name] for name in ("left", "right", "context", "step", "outputs")} == {
        "left": 7, "right": 6, "context": 8, "step": 2, "outputs": 2,
    }  # fmt: skip
    assert len(axis["cuts"]) == 16
    assert [cut["keep"] for cut in axis["cuts"][:2]] == [[0, 64], [64, 128]]
    assert document["is_equal"]
    _, shown, _ = call(capsys, monkeypatch, *arguments, "--check")
    assert "check: equal: 16 chunks of 1000" in shown
    assert "a stream keeps 8 samples before a chunk, and waits for 6 after it" in shown
