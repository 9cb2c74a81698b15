"""Settings that change only values, and layers whose refusals depend on the input, compared with torch itself."""

import itertools
import re
import warnings
from collections import Counter

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from upsample_cli.errors import GeometryError
from upsample_cli.geometry.axis import LayerAxis
from upsample_cli.tconv.layers.constructors import parse_layer
from upsample_cli.tconv.shape import shape

SIZES = ((), (1,), (3,), (3, 4), (2, 3, 4))
WORDS = {"inf": float("inf"), "nan": float("nan"), "nn": nn, "StochasticDepth": StochasticDepth}


def by_torch(texts, channels, sizes):
    """Channels and sizes by torch, in training or afterwards, or None if it refuses. Evaluates texts of this module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in ("train", "eval"):
            tensor = torch.zeros(2, channels, *sizes)
            try:
                for text in texts:
                    module = eval(text if text.startswith("Stochastic") else f"nn.{text}", WORDS)
                    tensor = getattr(module, mode)()(tensor)
            except Exception:
                continue
            return tuple(tensor.shape[1:])
    return None


def by_us(texts, channels, sizes):
    try:
        steps = shape(sizes, [parse_layer(text) for text in texts], channels=channels)
    except GeometryError:
        return None
    return (steps[-1].channels, *steps[-1].output)


NUMBERS = ("0", "1", "-1", "0.3", "0.5", "1.5", "-inf", "inf", "nan", "None", "'x'")
VALUES = {
    "AvgPool1d(1, count_include_pad={})": ("True", "None", "1"),
    "AvgPool2d(1, divisor_override={})": ("0", "1", "-1", "2.5", "None", "True"),
    "AvgPool3d(1, divisor_override={})": ("0", "3", "2.5", "None"),
    "AvgPool2d(1, stride={})": ("()", "None", "1", "0"),
    "Conv2d(4, 4, 1, bias={})": ("True", "None"),
    "LayerNorm(4, elementwise_affine={})": ("True", "None"),
    "GELU({})": ("'none'", "'tanh'", "'x'", "None"),
    "LocalResponseNorm({})": ("0", "1", "2", "7", "-1", "(2,)", "2.0", "None"),
    "LocalResponseNorm(2, alpha={})": NUMBERS,
    "LocalResponseNorm(2, k={})": NUMBERS,
    "StochasticDepth({}, 'row')": ("0", "1", "0.5", "-1", "1.5", "None"),
    "StochasticDepth(0.5, {})": ("'batch'", "'row'", "'x'", "None"),
    "PReLU({})": ("0", "1", "4", "-1"),
    "PReLU(init={})": ("0.2", "None", "'x'"),
    "RReLU({})": ("0", "0.3", "0.4", "-1", "None"),
    "Hardtanh(min_value={}, max_value=None)": ("0", "1", "2", "None"),
    "ConstantPad1d(1, {})": ("0", "0.5", "None", "'x'"),
    "InstanceNorm1d(9, affine={})": ("False", "True", "None"),
    "InstanceNorm1d(9, track_running_stats={})": ("False", "True", "None"),
    "BatchNorm1d(9, affine=False, track_running_stats={})": ("False", "True", "None"),
    "BatchNorm1d(4, track_running_stats=False, eps={})": NUMBERS,
    "GroupNorm(2, 2, affine={})": ("False", "True", "None"),
    "GroupNorm({0}, {0}, affine=False)": ("1", "2", "3", "4"),
    "Upsample(5, mode={})": ("'area'", "'x'", "'nearest'"),
    "Upsample(5, mode='area', align_corners={})": ("None", "False", "True"),
    "ReplicationPad1d({})": ("(-2, 2)", "(-9, 9)", "(2, -2)", "-2", "(-9, 1)"),
    **{f"{name}(dim={{}})": [*map(str, range(-6, 6)), "None", "1.0"] for name in ("Softmax", "LogSoftmax", "Softmin")},
    **{f"{name}({{}})": NUMBERS for name in ("CELU", "ELU", "Softshrink", "Hardshrink", "LeakyReLU", "Softplus")},
    **{f"{name}({{}})": NUMBERS for name in ("Dropout", "Dropout1d", "Dropout3d", "AlphaDropout")},
    **{f"Threshold({two})": NUMBERS for two in ("{}, 0", "0, {}")},
    **{f"{name}(4, eps={{}})": NUMBERS for name in ("InstanceNorm1d", "LayerNorm")},
    "BatchNorm1d(4, momentum={})": ("0", "None", "2"),
}  # fmt: skip
REFUSED_BEFORE = ("Hardtanh({})", "BatchNorm1d(4, eps={})", "SyncBatchNorm(4, eps={})")
if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 14):  # torch 2.10 refuses some numbers of these
    VALUES |= dict.fromkeys(REFUSED_BEFORE, NUMBERS)


@pytest.mark.parametrize("template", VALUES)
def test_every_value_is_accepted_or_refused_as_torch_does(template):
    seen = Counter()
    for value, sizes in itertools.product(VALUES[template], SIZES):
        axes = re.search(r"([123])d\(", template)
        if axes and len(sizes) != int(axes[1]) and "Drop" not in template:
            continue  # torch reads inputs of other ranks as ones without a batch
        texts = [template.format(value)]
        expected = by_torch(texts, 4, sizes)
        seen[expected is None] += 1
        assert by_us(texts, 4, sizes) == expected, (texts, sizes)
    assert seen[False]


def test_control_the_comparison_has_refusals_of_every_kind():
    texts = ["AvgPool2d(1, divisor_override=0)", "CELU(0)", "GELU('x')", "Dropout(1.5)", "LocalResponseNorm(0)"]
    assert [by_torch([text], 4, (3, 4)) for text in texts] == [None] * 5
    assert by_torch(["AvgPool2d(1, divisor_override=1)", "CELU(1)", "Dropout(1)"], 4, (3, 4)) == (4, 3, 4)


@pytest.mark.parametrize("last", ["LocalResponseNorm(2)", "Softmax(2)", "Softmax(1)", "PReLU(4)", "GroupNorm(2, 4)"])
@pytest.mark.parametrize("first", ["Flatten()", "Flatten(2)", "Flatten(1, 2)", "Unflatten(1, (2, 2))", "ReLU()"])
def test_layers_after_a_flatten_are_accepted_or_refused_as_torch_does(first, last):
    for sizes in SIZES:
        assert by_us([first, last], 4, sizes) == by_torch([first, last], 4, sizes), sizes


@pytest.mark.parametrize(("sizes", "settings"), [((4,), "12"), ((12,), "4"), ((6,), "4"), ((4, 9), "(8, 3)")])
def test_area_is_described_along_each_axis_as_it_computes(sizes, settings):
    """Where a layer is uniform, its windows are those of torch's gradients."""
    layer = parse_layer(f"Upsample({settings}, mode='area')")
    (step,) = shape(sizes, [layer], channels=1)
    tensor = torch.zeros(1, 1, *sizes, requires_grad=True)
    output = nn.functional.interpolate(tensor, step.output, mode="area")
    (gradient,) = torch.autograd.grad(output[(0, 0, *(1 for _ in sizes))], tensor)
    for axis, along in enumerate(step.along):
        others = tuple(other for other in range(gradient.ndim) if other != axis + 2)
        used = torch.nonzero(gradient.sum(others))
        window = (int(used.min()), int(used.max()))
        if sizes[axis] == 6:
            assert along is None
        else:
            assert along.seen(1, 1) == window


def test_control_a_layer_of_another_size_has_another_window():
    assert LayerAxis(3, 3).seen(1, 1) != LayerAxis(2, 2).seen(1, 1)
