"""The sizes that a U-Net accepts: torch, run at every size, must fail exactly where `tconv shape` says so."""

import pytest
from tconv.onnx_models import UNet, export, runs
from tconv.test_graphs import constant, model_of

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.input_shapes import input_shapes
from upsample_cli.tconv.graphs.onnx_file import read_onnx
from upsample_cli.tconv.graphs.report import graph_report, notes
from upsample_cli.tconv.graphs.sizes import PreparedGraph
from upsample_cli.tconv.size_pattern import AxisFit, Pattern, find_pattern, padding_text

onnx = pytest.importorskip("onnx", reason="onnx is not installed")


def acceptance(path):
    """A function that says whether the sizes of all nodes of a graph can be computed."""
    graph = read_onnx(path)
    prepared = PreparedGraph(graph)

    def is_accepted(size):
        try:
            prepared.steps(input_shapes(graph, size))
        except GeometryError:
            return False
        return True

    return is_accepted


@pytest.mark.parametrize(
    ("model", "period", "remainders"),
    [
        (UNet("cat", levels=3), 8, (0,)),
        (UNet("add", levels=2), 4, (0,)),
        (UNet("interpolate", levels=3), 1, (0,)),
        (UNet("pad", levels=1), 1, (0,)),
        (UNet("crop", levels=2, valid=1), 1, (0,)),
        (UNet("cat", levels=1, axes=1), 2, (0,)),
        (UNet("cat", levels=2, axes=3), 4, (0,)),
    ],
)
def test_torch_fails_exactly_at_the_sizes_that_do_not_fit(model, period, remainders, tmp_path):
    axes = model.middle.weight.dim() - 2
    path = export(model, tmp_path / "net.onnx", (1, 3, *(64,) * axes))
    fits = graph_report(path, (64,) * axes).fits
    assert [(fit.pattern.period, fit.pattern.remainders) for fit in fits] == [(period, remainders)] * axes
    sizes = range(16, 81 if axes < 3 else 25)
    accepted = [size for size in sizes if runs(model, (size,) + (32,) * (axes - 1))]
    assert accepted == [size for size in sizes if fits[0].pattern.fits(size)]
    is_accepted = acceptance(path)
    assert accepted == [size for size in sizes if is_accepted((size,) + (32,) * (axes - 1))]


def test_sizes_below_the_pattern_are_those_of_torch_too(tmp_path):
    model = UNet("crop", levels=2, valid=1)
    path = export(model, tmp_path / "net.onnx", (1, 3, 64, 64))
    pattern = graph_report(path, (64, 64)).fits[1].pattern
    sizes = range(1, 40)
    assert [size for size in sizes if runs(model, (40, size))] == [size for size in sizes if pattern.fits(size)]


@pytest.mark.parametrize("size", [(61, 50), (64, 49), (9, 33)])
def test_torch_accepts_the_padded_size_and_no_smaller_one(size, tmp_path):
    model = UNet("cat", levels=3)
    path = export(model, tmp_path / "net.onnx", (1, 3, 64, 64))
    with pytest.raises(GeometryError) as caught:
        graph_report(path, size)
    padded = tuple(-(-one // 8) * 8 for one in size)
    assert f"pad the input to {padded[0]}x{padded[1]}: " in str(caught.value)
    assert runs(model, padded)
    for axis in (0, 1):
        between = ((*padded[:axis], one, *padded[axis + 1 :]) for one in range(size[axis], padded[axis]))
        assert not any(runs(model, one) for one in between)


def test_the_first_skip_connection_that_fails_is_named(tmp_path):
    """60 is a multiple of 4: the second level of the encoder still meets, the third does not."""
    path = export(UNet("cat", levels=3), tmp_path / "net.onnx", (1, 3, 64, 64))
    message = r"Concat '/Concat' joins ConvTranspose .* \(1x4x14x16\) and Conv .* \(1x4x15x16\): height 14 is not 15"
    with pytest.raises(GeometryError, match=message):
        graph_report(path, (60, 64))


def test_each_axis_has_its_own_pattern(tmp_path):
    """Pooling by (2, 3): the axes do not depend on each other."""
    import torch
    from torch import nn

    class Uneven(UNet):
        def __init__(self):
            super().__init__(levels=2)
            self.pool = nn.MaxPool2d((2, 3))
            self.up = nn.ModuleList(nn.ConvTranspose2d(4, 4, (2, 3), stride=(2, 3)) for _ in range(2))

    model = Uneven()
    fits = graph_report(export(model, tmp_path / "net.onnx", (1, 3, 36, 36)), (36, 36)).fits
    assert [str(fit.pattern) for fit in fits] == ["a multiple of 4: 4, 8, 12, ...", "a multiple of 9: 9, 18, 27, ..."]
    assert [runs(model, (36, size)) for size in range(27, 37)] == [size % 9 == 0 for size in range(27, 37)]
    assert torch.is_tensor(model(torch.zeros(1, 3, 36, 27)))


def test_a_network_without_padding_needs_an_offset(tmp_path):
    """Convolutions without padding, and a skip connection that is cropped by a fixed size, as in the first U-Net."""
    from torch import cat, nn

    class Valid(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.inner = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.pool, self.up = nn.MaxPool2d(4), nn.ConvTranspose2d(4, 4, 4, stride=4)

        def forward(self, x):
            x = self.first(x)
            return cat([self.up(self.inner(self.pool(x))), x[:, :, 4:-4, 4:-4]], 1)

    model = Valid()
    fits = graph_report(export(model, tmp_path / "net.onnx", (1, 3, 66, 66)), (66, 66)).fits
    assert str(fits[0].pattern) == "a multiple of 4 plus 2: 14, 18, 22, ..."
    sizes = range(10, 50)
    assert [size for size in sizes if runs(model, (size, 66))] == [size for size in sizes if fits[0].pattern.fits(size)]


@pytest.mark.parametrize(
    ("fits", "period"),
    [
        (lambda size: size % 16 == 0, 32),
        (lambda size: size % 12 in (3, 7) and size > 20, 12),
        (lambda size: size > 70 or size in (1, 5), 8),
        (lambda size: size % 5 != 0, 30),
    ],
)
def test_a_pattern_is_exact(fits, period):
    pattern = find_pattern(fits, period, 1000)
    assert [size for size in range(1, 400) if pattern.fits(size)] == [size for size in range(1, 400) if fits(size)]
    for size in range(1, 200):
        assert pattern.next_from(size) == next(one for one in range(size, 500) if fits(one))


def test_no_pattern_is_claimed_where_sizes_do_not_repeat():
    assert find_pattern(lambda size: size in (64, 128), 8, 4000) is None
    assert find_pattern(lambda size: size % 7 == 0, 8, 4000) is None


def test_padding_is_shared_between_both_ends():
    fits = [AxisFit("height", 13, Pattern(8, (0,), 1, ())), AxisFit("width", 15, Pattern(16, (0,), 1, ()))]
    assert padding_text(fits) == "16x16: 1 at the top, 2 at the bottom, 1 at the right"


def test_no_pattern_is_looked_for_in_an_input_without_axes(tmp_path):
    made = onnx.helper.make_node
    nodes = [made("Reshape", ["x", "s"], ["r"]), made("Add", ["r", "r"], ["y"])]
    path = model_of(nodes, {"x": [1, 16]}, tmp_path / "n.onnx", [constant("s", [1, 1, 4, 4])])
    report = graph_report(path)
    assert report.fits is None
    assert "no other sizes of the input were found that repeat and fit" in notes(report)[0]
