"""Sizes along the graphs of ONNX files, judged by ONNX' own inference, by its parser, and by ONNX Runtime."""

import random
import struct
from pathlib import Path

import pytest
from tconv.onnx_models import UNet, export

from upsample_cli.errors import UpsampleError
from upsample_cli.tconv.graphs.input_shapes import input_shapes
from upsample_cli.tconv.graphs.onnx_file import read_onnx
from upsample_cli.tconv.graphs.report import graph_report
from upsample_cli.tconv.graphs.sizes import PreparedGraph

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
helper = onnx.helper
FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
SHIPPED = Path(onnx.__file__).parent / "backend" / "test" / "data"
MODELS = sorted([*(SHIPPED / "light").glob("*.onnx"), *SHIPPED.glob("pytorch-*/*/model.onnx")])


def inferred(path):
    """The shapes that ONNX infers, where all sizes are numbers."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path, load_external_data=False), data_prop=True)
    kinds = {one.name: one.type.tensor_type for one in (*model.graph.value_info, *model.graph.output)}
    shapes = {name: [one.dim_value for one in kind.shape.dim] for name, kind in kinds.items() if kind.HasField("shape")}
    return {name: tuple(shape) for name, shape in shapes.items() if 0 not in shape}


def computed(path, size=None):
    graph = read_onnx(path)
    steps = PreparedGraph(graph).steps(input_shapes(graph, size))
    return {name: value.shape for step in steps for name, value in zip(step.node.outputs, step.outputs, strict=False)}


def model_of(nodes, inputs, path, constants=(), opset=18):
    """Write a model whose results are the outputs of its last node."""
    given = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in nodes[-1].output]
    graph = helper.make_graph(nodes, "g", given, results, list(constants))
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return path


def constant(name, numbers, kind=INT):
    return helper.make_tensor(name, kind, [len(numbers)], numbers)


def weight(name, shape):
    return onnx.numpy_helper.from_array(__import__("numpy").zeros(shape, "float32"), name)


def test_the_models_that_onnx_ships_are_found():
    assert len(MODELS) > 100


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_sizes_equal_the_inference_of_onnx_on_its_own_models(path):
    expected, sizes = inferred(path), computed(path)
    assert expected
    assert {name: sizes[name] for name in expected if name in sizes} == {
        name: shape for name, shape in expected.items() if name in sizes
    }
    assert set(read_onnx(path).outputs) <= set(sizes)


@pytest.mark.parametrize("path", MODELS[::9], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_file_is_read_as_onnx_reads_it(path):
    graph, expected = read_onnx(path), onnx.load(path).graph
    assert [(node.operator, *node.inputs, *node.outputs) for node in graph.nodes] == [
        (node.op_type, *node.input, *node.output) for node in expected.node
    ]
    for ours, theirs in zip(graph.nodes, expected.node, strict=True):
        for attribute in theirs.attribute:
            value = helper.get_attribute_value(attribute)
            if isinstance(value, (int, float, list)):
                assert ours.attributes[attribute.name] == (tuple(value) if isinstance(value, list) else value)
    for tensor in expected.initializer:
        read = graph.constants[tensor.name]
        assert read.shape == tuple(tensor.dims)
        if read.numbers is not None:
            assert list(read.numbers) == onnx.numpy_helper.to_array(tensor).ravel().tolist()


@pytest.mark.parametrize("join", ["cat", "add", "interpolate", "pad", "crop"])
@pytest.mark.parametrize("size", [(64, 48), (61, 50)])
def test_sizes_equal_those_of_torch_in_an_exported_u_net(join, size, tmp_path):
    import torch

    model = UNet(join)
    path = export(model, tmp_path / "net.onnx", (1, 3, 64, 64))
    try:
        expected = tuple(model(torch.zeros(2, 3, *size)).shape)
    except RuntimeError:
        with pytest.raises(UpsampleError, match="joins"):
            computed(path, (2, 3, *size))
    else:
        assert computed(path, (2, 3, *size))["y"] == expected


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_sizes_of_models_of_torchvision_equal_the_inference_of_onnx(name, tmp_path):
    torchvision = pytest.importorskip("torchvision")
    path = export(getattr(torchvision.models, name)(weights=None), tmp_path / "m.onnx", (1, 3, 64, 64), dynamic=False)
    expected, sizes = inferred(path), computed(path)
    assert len(expected) > 60
    assert {name: sizes[name] for name in expected if name in sizes} == {
        name: shape for name, shape in expected.items() if name in sizes
    }


def networks():
    """A generator, an autoencoder and an FCN with crops, each with the shape of an input."""
    from torch import nn

    generator = nn.Sequential(
        nn.ConvTranspose2d(8, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    autoencoder = nn.Sequential(
        nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.ELU(), nn.MaxPool1d(3, 2, ceil_mode=True), nn.GroupNorm(2, 8),
        nn.Upsample(scale_factor=2), nn.ReflectionPad1d((1, 2)), nn.Conv1d(8, 3, 4), nn.Upsample(scale_factor=1.5),
    )  # fmt: skip
    shuffled = nn.Sequential(
        nn.PixelUnshuffle(2), nn.Conv2d(12, 8, 3, padding=2, dilation=2), nn.PReLU(8), nn.PixelShuffle(2),
        nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5), nn.Softmax(1),
    )  # fmt: skip

    class Fcn(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.score = nn.Conv2d(3, 4, 3, padding=20), nn.Conv2d(4, 2, 1)
            self.pool, self.up = nn.MaxPool2d(4, ceil_mode=True), nn.ConvTranspose2d(2, 2, 8, stride=4)

        def forward(self, x):
            half = self.first(x)
            up = self.up(self.score(self.pool(half)))
            both = up[:, :, 2 : 2 + half.size(2), 2 : 2 + half.size(3)] + self.score(half)
            return both[:, :, 19 : 19 + x.size(2), 19 : 19 + x.size(3)].contiguous()

    return {
        "generator": (generator, (2, 8, 1, 3)),
        "autoencoder": (autoencoder, (1, 3, 41)),
        "shuffled": (shuffled, (1, 3, 14, 18)),
        "fcn": (Fcn(), (1, 3, 37, 42)),
    }


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("name", ["generator", "autoencoder", "shuffled", "fcn"])
def test_sizes_equal_those_of_torch_in_other_exported_networks(name, dynamic, tmp_path):
    import torch

    model, shape = networks()[name]
    path = export(model, tmp_path / "net.onnx", shape, dynamic=dynamic)
    sizes = computed(path, shape if dynamic else None)
    assert sizes["y"] == tuple(model(torch.zeros(shape)).shape)
    expected = {} if dynamic else inferred(path)
    assert {name: sizes[name] for name in expected if name in sizes} == {
        name: shape for name, shape in expected.items() if name in sizes
    }
    if dynamic:
        larger = (*shape[:2], *(size + 8 for size in shape[2:]))
        assert computed(path, larger)["y"] == tuple(model(torch.zeros(larger)).shape)


def random_node(rng, axes):
    """A convolution or pooling with random legal settings, and its weight's shape."""
    kind = rng.choice(["Conv", "ConvTranspose", "MaxPool", "AveragePool"])
    kernel = [rng.randint(1, 4) for _ in range(axes)]
    given = {"kernel_shape": kernel, "strides": [rng.randint(1, 3) for _ in range(axes)]}
    if kind != "AveragePool":
        given["dilations"] = [rng.randint(1, 2) for _ in range(axes)]
    mode = rng.choice(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if mode != "NOTSET":
        given["auto_pad"] = mode
        if kind == "MaxPool":
            del given["dilations"]  # which ONNX Runtime then ignores
    else:
        most = [size - 1 if kind.endswith("Pool") else size for size in kernel]
        given["pads"] = [rng.randint(0, size) for size in most * 2]
    if kind == "ConvTranspose":
        given["output_padding"] = [rng.randint(0, stride - 1) for stride in given["strides"]]
        if mode.startswith("SAME"):
            del given["output_padding"]
    elif kind.endswith("Pool") and mode == "NOTSET":
        given["ceil_mode"] = rng.randint(0, 1)
    weights = [] if kind.endswith("Pool") else ["w"]
    return helper.make_node(kind, ["x", *weights], ["y"], name="n", **given), [4, 4, *kernel] if weights else None


def is_short(node):
    """Whether taps do not reach the size that auto_pad demands: there ONNX Runtime does not follow ONNX."""
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    columns = zip(given["kernel_shape"], given["strides"], given.get("dilations", [1] * 3), strict=False)
    reached = all(dilation * (size - 1) + 1 >= stride for size, stride, dilation in columns)
    return node.op_type == "ConvTranspose" and given.get("auto_pad", b"").startswith(b"SAME") and not reached


def test_sizes_of_convolutions_and_pooling_equal_those_of_onnx_runtime(tmp_path):
    """ONNX Runtime computes them; where it refuses settings, nothing is claimed."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import numpy as np

    rng, compared = random.Random(5), 0
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    for _ in range(250):
        axes = rng.randint(1, 3)
        node, shape = random_node(rng, axes)
        given = [1, 4, *(rng.randint(7, 13) for _ in range(axes))]
        weights = [] if shape is None else [weight("w", shape)]
        path = model_of([node], {"x": given}, tmp_path / "n.onnx", weights)
        try:
            session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
            expected = session.run(None, {"x": np.zeros(given, "float32")})[0].shape
        except Exception:
            continue
        if 0 in expected or is_short(node):
            continue
        assert computed(path)["y"] == expected, helper.printable_node(node)
        compared += 1
    assert compared > 150


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"output_shape": [20, 21]}, (20, 21)),
        ({"output_shape": [1, 4, 20, 21]}, (20, 21)),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 3]}, (18, 21)),
        ({"strides": [2, 2], "pads": [0, 1, 1, 0], "output_padding": [1, 0]}, (19, 13)),
    ],
)
def test_transposed_convolutions_with_settings_of_onnx(settings, expected, tmp_path):
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], **{"strides": [2, 2]} | settings)
    path = model_of([node], {"x": [1, 4, 9, 7]}, tmp_path / "n.onnx", [weight("w", [4, 4, 3, 2])])
    assert computed(path)["y"] == (1, 4, *expected)


def test_sizes_are_computed_from_shapes_as_exports_do(tmp_path):
    """Shape, Gather, Mul, Unsqueeze, Concat, and a Resize to the result."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "two", "four"], ["hw"]),
        helper.make_node("Cast", ["hw"], ["f"], to=FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["m"]),
        helper.make_node("Floor", ["m"], ["r"]),
        helper.make_node("Cast", ["r"], ["i"], to=INT),
        helper.make_node("Slice", ["s", "zero", "two"], ["nc"]),
        helper.make_node("Concat", ["nc", "i"], ["all"], axis=0),
        helper.make_node("Resize", ["x", "", "", "all"], ["y"]),
    ]
    constants = [constant("zero", [0]), constant("two", [2]), constant("four", [4]), constant("scale", [1.5], FLOAT)]
    path = model_of(nodes, {"x": ["b", 3, "h", "w"]}, tmp_path / "n.onnx", constants)
    assert computed(path, (7, 9))["y"] == (1, 3, 10, 13)


def test_a_mismatch_names_both_sides(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("ConvTranspose", ["p", "w"], ["u"], name="up", strides=[2, 2]),
        helper.make_node("Concat", ["u", "x"], ["y"], name="skip", axis=1),
    ]
    path = model_of(nodes, {"x": [1, 4, "h", "w"]}, tmp_path / "n.onnx", [weight("w", [4, 4, 2, 2])])
    expected = (
        r"n.onnx: Concat 'skip' joins ConvTranspose 'up' \(1x4x8x10\) and 'x' \(1x4x8x11\): width 10 is not 11; "
        r"pad the input to 8x12: 1 at the right; height and width fit if each is a multiple of 2: 2, 4, 6, ..."
    )
    with pytest.raises(UpsampleError, match=expected):
        graph_report(path, (8, 11))
    assert computed(path, (8, 12))["y"] == (1, 8, 8, 12)


def test_an_unknown_operator_is_named(tmp_path):
    path = model_of([helper.make_node("NonZero", ["x"], ["y"], name="odd")], {"x": [1, 4, 8, 8]}, tmp_path / "n.onnx")
    with pytest.raises(UpsampleError, match=r"n.onnx: NonZero 'odd' is not supported"):
        graph_report(path)


def test_an_open_size_must_be_given_and_an_open_batch_is_one(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    path = model_of([node], {"x": ["batch", 3, "height", 8]}, tmp_path / "n.onnx")
    with pytest.raises(UpsampleError, match="the height of 'x' is not fixed in the file; give a size"):
        graph_report(path)
    assert graph_report(path, (5, 6)).outputs == {"y": (1, 3, 5, 6)}
    assert graph_report(path, (7, 2, 5, 6)).outputs == {"y": (7, 2, 5, 6)}


def test_data_outside_the_file_are_not_read(tmp_path):
    """Weights elsewhere do not matter for sizes; a size elsewhere does, and is an error."""
    tensor = helper.make_tensor("shape", INT, [2], [1, 48])
    tensor.ClearField("int64_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    place = tensor.external_data.add()
    place.key, place.value = "location", str(tmp_path / "secret.bin")
    (tmp_path / "secret.bin").write_bytes(struct.pack("<2q", 1, 48))
    path = model_of(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])], {"x": [1, 3, 4, 4]}, tmp_path / "n.onnx", [tensor]
    )
    with pytest.raises(UpsampleError, match="its shape depends on the data"):
        graph_report(path)


def message_of(path, size):
    try:
        graph_report(path, size)
    except UpsampleError as error:
        return str(error)
    return ""


def test_damaged_files_end_with_an_error_that_names_the_file(tmp_path):
    path = export(UNet("pad"), tmp_path / "net.onnx", (1, 3, 16, 16))
    whole, rng, refused = path.read_bytes(), random.Random(3), 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content[: rng.choice([len(content), rng.randrange(1, len(content))])])
        message = message_of(path, (16, 16))
        assert not message or message.startswith(str(path))
        refused += message != ""
    assert refused > 50


def test_a_file_of_tiny_nodes_is_refused_early(tmp_path):
    """With the package onnx, an empty one takes 150 bytes of memory for 2 in the file: 16 MB take more than 1 GB."""
    nodes = b"\x0a\x02\x12\x00" * (2**19 - 1)  # each with one output without a name
    length = [len(nodes) >> 7 * place & 127 | 128 for place in range(3)]
    (tmp_path / "bomb.onnx").write_bytes(bytes([7 << 3 | 2, *length, len(nodes) >> 21]) + nodes)
    with pytest.raises(UpsampleError, match=r"bomb.onnx: it has more than 100000 nodes"):
        read_onnx(tmp_path / "bomb.onnx")


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("ConstantOfShape", ["big"], ["y0"]), helper.make_node("Add", ["x", "y0"], ["y"])],
        [helper.make_node("Expand", ["x", "big"], ["y"])],
        [helper.make_node("Tile", ["x", "big"], ["y"])],
        [helper.make_node("Pow", ["huge", "huge"], ["p"]), helper.make_node("Add", ["x", "p"], ["y"])],
    ],
)
def test_large_numbers_are_not_computed(nodes, tmp_path):
    constants = [
        constant("big", [2**40] * 4),
        helper.make_tensor("huge", INT, [], [2**62]),
    ]
    path = model_of(nodes, {"x": [1, 1, 1, 1]}, tmp_path / "n.onnx", constants)
    with pytest.raises(UpsampleError, match=r"too large|too long"):
        graph_report(path)


def test_a_node_without_outputs_is_damage(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], [], name="mute"), helper.make_node("Relu", ["x"], ["y"])]
    path = model_of(nodes, {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx")
    with pytest.raises(UpsampleError, match=r"n.onnx: is damaged, or not an ONNX file: the node 'mute' has no outputs"):
        read_onnx(path)


def test_many_known_numbers_end_before_they_take_long(tmp_path):
    """Each node computes 4096 numbers."""
    nodes = [helper.make_node("Add", [f"v{place}", "v0"], [f"v{place + 1}"]) for place in range(2500)]
    nodes.append(helper.make_node("Relu", ["x"], ["y"]))
    path = model_of(nodes, {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx", [constant("v0", [1] * 4096)])
    with pytest.raises(UpsampleError, match=r"n.onnx: its sizes take too long to compute; give a part"):
        graph_report(path)
