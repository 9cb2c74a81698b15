"""Shapes and numbers of single operators of ONNX, judged by ONNX Runtime; their texts as layers, judged by torch."""

import random
import re

import numpy as np
import pytest
from tconv.test_graphs import FLOAT, constant, is_short, model_of, random_node, weight

from upsample_cli.errors import UpsampleError
from upsample_cli.tconv.graphs.input_shapes import input_shapes
from upsample_cli.tconv.graphs.node_layers import node_text
from upsample_cli.tconv.graphs.onnx_file import read_onnx
from upsample_cli.tconv.graphs.operators import OPERATORS
from upsample_cli.tconv.graphs.report import graph_report
from upsample_cli.tconv.graphs.sizes import PreparedGraph

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
Builder = pytest.importorskip("tconv.node_builder").Builder
random_nodes = pytest.importorskip("tconv.random_nodes")
node = onnx.helper.make_node


def written(builder, nodes, path):
    """A model whose results are the outputs of these nodes."""
    results = [onnx.ValueInfoProto(name=name) for one in nodes for name in one.output]
    given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, builder.shape)
    graph = onnx.helper.make_graph(nodes, "g", [given], results, builder.constants)
    opset = onnx.helper.make_opsetid("", builder.opset)
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
    return path


def run(path, shape):
    """What ONNX Runtime gives, by name; None if it refuses."""
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        values = session.run(None, {"x": np.ones(shape, "float32")})
    except Exception:
        return None
    return {one.name: value for one, value in zip(session.get_outputs(), values, strict=True)}


def check(path, expected):
    """Compare shapes, and numbers where they are known; and the layers of torch that the nodes are shown as."""
    prepared = PreparedGraph(read_onnx(path))
    steps = prepared.steps(input_shapes(prepared.graph, None))
    named = {name: value for step in steps for name, value in step.named_outputs.items()}
    for name, value in named.items():
        assert value.shape == expected[name].shape
        if value.numbers is not None:
            assert np.allclose(value.numbers, expected[name].ravel(), rtol=1e-6, equal_nan=True)
    for step in steps:
        check_layer(node_text(step, prepared.graph.opset), step)
    return len(named)


def check_layer(text, step):
    import torch

    if re.match(r"\w+[123]d\(|Pixel|Upsample\(s", text):
        model = torch.nn.Sequential(*eval(f"[{text}]", dict(vars(torch.nn))))
        assert tuple(model(torch.rand(step.inputs[0].shape)).shape) == step.outputs[0].shape, text


def compared(kind, seeds, path):
    """How many values of random nodes are compared; the nodes are one by one, unless one computes with another."""
    count = 0
    for seed in seeds:
        builder = Builder(random.Random(seed), 7 + seed % 16)
        kind(builder)
        chained = any(name.startswith("v") for one in builder.nodes for name in one.input)
        for nodes in [builder.nodes] if chained else [[one] for one in builder.nodes]:
            expected = run(written(builder, nodes, path), builder.shape)
            if expected is None:
                continue
            try:
                count += check(path, expected)
            except (AssertionError, UpsampleError) as error:
                if isinstance(error, AssertionError) or all(value.size for value in expected.values()):
                    pytest.fail(f"seed {seed}, {[*map(onnx.helper.printable_node, nodes)]}: {error}")
    return count


def sliding(builder):
    """A convolution or pooling, whose sizes other tests compare too; here it is the layer of torch that counts."""
    made, shape = random_node(builder.rng, builder.rank - 2)
    builder.shape[1:] = [4, *(builder.rng.randint(7, 13) for _ in builder.shape[2:])]
    builder.nodes += [] if is_short(made) else [made]
    builder.constants += [weight("w", shape)] if shape else []


@pytest.mark.parametrize("kind", [*random_nodes.KINDS, sliding], ids=lambda kind: kind.__name__)
def test_shapes_and_numbers_equal_those_of_onnx_runtime(kind, tmp_path):
    assert compared(kind, range(160), tmp_path / "n.onnx") >= 60


def test_a_wrong_operator_is_found(monkeypatch, tmp_path):
    monkeypatch.setitem(OPERATORS, "Slice", OPERATORS["Relu"])
    with pytest.raises(pytest.fail.Exception, match="seed"):
        compared(random_nodes.slices, range(10), tmp_path / "n.onnx")


HALF = constant("half", [0.5, 0.5], FLOAT)
SCALES = constant("scales", [1, 1, 0.5, 0.5], FLOAT)
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize"}
CONSTANTS = [
    HALF, SCALES, constant("two", [2]), constant("four", [4]), constant("none", []), constant("zeros", [0, 0]),
    constant("pads", [0, 0, 9, 0, 0, 0, 0, 0]), constant("three", [3]), constant("less", [0, 0, -9, 0, 0, 0, 0, 0]),
    weight("row", [2, 1]), onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [], [0]),
    weight("w", [4, 4, 3, 3]), weight("b", [3, 5]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (node("If", ["x"], ["y"]), "is not supported"),
        (node("Loop", ["x"], ["y"]), "is not supported"),
        (node("Constant", [], ["y"], value_string="a"), "its value is of a kind that is not supported"),
        (node("Range", ["two", "four", "zero"], ["y"]), "its step is zero"),
        (node("Range", ["two", "x", "two"], ["y"]), "its ends depend on the data"),
        (node("Tile", ["x", "two"], ["y"]), "it has 1 repeats for 4 dimensions"),
        (node("Div", ["two", "zero"], ["y"]), "it divides by zero"),
        (node("Mod", ["two", "zero"], ["y"]), "it divides by zero"),
        (node("Concat", [], ["y"], axis=0), "it has no inputs"),
        (node("Concat", ["x", "two"], ["y"], axis=0), "its inputs have 4 and 1 dimensions"),
        (node("Concat", ["x", "x"], ["y"], axis=4), "there is no axis 4 of 4"),
        (node("MatMul", ["x", "zero"], ["y"]), "a number is not a matrix"),
        (node("MatMul", ["x", "b"], ["y"]), "joins 'x' .*4 is not 3"),
        (node("Gemm", ["x", "b"], ["y"]), "its inputs are not matrices"),
        (node("Gemm", ["b", "b"], ["y"]), "it takes 3 features, but 5 come in"),
        (node("Relu", [""], ["y"]), "its input 1 is missing"),
        (node("Reshape", ["x", "x"], ["y"]), "its shape depends on the data"),
        (node("Reshape", ["x", "two"], ["y"]), "1x4x4x4 cannot become 2"),
        (node("Flatten", ["x"], ["y"], axis=5), "there is no axis 5 of 4"),
        (node("Transpose", ["x"], ["y"], perm=[0, 0, 1, 2]), r"perm \[0, 0, 1, 2\] does not fit 4 dimensions"),
        (node("Squeeze", ["x", "three"], ["y"]), "it leaves out a size of 4, which is not 1"),
        (node("Unsqueeze", ["x"], ["y"]), "its axes are missing"),
        (node("Unsqueeze", ["x", "zeros"], ["y"]), "it names an axis twice"),
        (node("DepthToSpace", ["x"], ["y"], blocksize=3), "4 channels are not divisible by 3x3"),
        (node("DepthToSpace", ["b"], ["y"], blocksize=2), "it works on images"),
        (node("SpaceToDepth", ["x"], ["y"], blocksize=3), "4 is not divisible by 3; pad the input to 6x6"),
        (node("Resize", ["x", "", "x"], ["y"]), "its scales depend on the data"),
        (node("Resize", ["x", "", "half"], ["y"]), "it has 2 scales or sizes for 4 dimensions"),
        (node("Resize", ["x"], ["y"]), "it has 0 scales or sizes for 4 dimensions"),
        (node("Resize", ["x", "", "half"], ["y"], axes=[2, 7]), "there is no axis 7 of 4"),
        (node("Resize", ["x", "", "scales"], ["y"], **CROP), "it crops and resizes at once"),
        (node("GridSample", ["x", "two"], ["y"]), "its input and its grid do not fit together"),
        (node("Slice", ["x", "two", "none"], ["y"]), "its starts and ends do not fit together"),
        (node("Slice", ["x", "two", "two", "two", "zero"], ["y"]), "its axes or steps do not fit its starts"),
        (node("Pad", ["x", "two"], ["y"]), "its pads do not fit its axes"),
        (node("Pad", ["x", "pads"], ["y"], mode="reflect"), "it reflects 9 of 4, which has 3 to reflect"),
        (node("Pad", ["x", "less"], ["y"]), "a size of -5 is too small"),
        (node("Split", ["x"], ["y", "z", "u"], axis=1), "4 is not divisible by 3"),
        (node("Split", ["x", "two"], ["y"], axis=1), r"4 is not the sum of \[2\]"),
        (node("Gather", ["x", "four"], ["y"], axis=1), "an index is outside of 4"),
        (node("TopK", ["x", "four"], ["y", "z"], axis=0), "it keeps 4 of 1"),
        (node("CenterCropPad", ["x", "two"], ["y"]), "its shape does not fit its axes"),
        (node("BatchNormalization", ["x", *["two"] * 4], ["y"]), r"its weight has the shape \[1\], its input \[1, 4"),
        (node("PRelu", ["two", "row"], ["y"]), "its weight is larger than its input"),
        (node("MaxPool", ["x"], ["y"]), "kernel_shape is missing"),
        (node("MaxPool", ["x"], ["y"], kernel_shape=[2]), "kernel_size has 1 numbers for 2 axes"),
        (node("MaxPool", ["x"], ["y"], kernel_shape=[2, 0]), "a kernel_shape, stride or dilation is below 1"),
        (node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="SAME"), "auto_pad 'SAME' is unknown"),
        (node("MaxPool", ["x"], ["y"], kernel_shape=[5, 2]), "height: the kernel spans 5, the padded input only 4"),
        (node("MaxPool", ["b"], ["y"], kernel_shape=[2, 2]), "its input has 2 dimensions"),
        (node("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2]), r"kernel_shape is \[2, 2\], but the weight has \[3, 3"),
        (node("Conv", ["x", "b"], ["y"]), "its input has 4 dimensions, its weight 2"),
        (node("Conv", ["x", "w"], ["y"], group=3), "group 3 does not divide 4 channels"),
        (node("Conv", ["x", "w"], ["y"], group=2), "it takes 8 channels, but 4 come in"),
        (node("ConvTranspose", ["x", "w"], ["y"], pads=[9] * 4), "height: .*nothing remains of 4"),
        (node("ConvTranspose", ["x", "w"], ["y"], output_padding=[1]), "output_padding or output_shape has a wrong"),
        (node("MaxUnpool", ["x", "w"], ["y"], kernel_shape=[2, 2]), "batch 1 is not 4"),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else "",
)  # fmt: skip
def test_what_does_not_fit_is_said_with_the_node(made, cause, tmp_path):
    path = model_of([node("Relu", ["x"], ["r"]), made], {"x": [1, 4, 4, 4]}, tmp_path / "n.onnx", CONSTANTS)
    with pytest.raises(UpsampleError, match=rf"n\.onnx: {made.op_type} 'y'.*{cause}"):
        graph_report(path)


@pytest.mark.parametrize(
    "made",
    [
        node("Resize", ["x", "", "half"], ["d"], axes=[-2, -1]),
        node("Resize", ["x", "", "scales"], ["d"]),
        node("Slice", ["x", "zeros", "far", "axes", "steps"], ["d"]),
        node("AveragePool", ["x"], ["d"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
        node("SpaceToDepth", ["x"], ["d"], blocksize=2),
    ],
    ids=["resize-axes", "resize", "slice", "pool", "space-to-depth"],
)
def test_onnx_runtime_runs_exactly_the_sizes_that_fit(made, tmp_path):
    """Half the size and back, joined with the input."""
    back = node("ConvTranspose", ["d", "up"], ["u"], strides=[2, 2])
    back = node("DepthToSpace", ["d"], ["u"], blocksize=2) if made.op_type == "SpaceToDepth" else back
    far = [constant("far", [99, 99]), constant("axes", [-2, -1]), constant("steps", [2, 2]), constant("zeros", [0, 0])]
    constants = [HALF, SCALES, *far, weight("up", [4, 4, 2, 2])]
    nodes = [made, back, node("Concat", ["x", "u"], ["y"], axis=1)]
    path = model_of(nodes, {"x": [1, 4, "h", "w"]}, tmp_path / "n.onnx", constants)
    pattern, sizes = graph_report(path, (8, 8)).fits[0].pattern, range(1, 10)
    accepted = [size for size in sizes if run(path, (1, 4, size, 8)) is not None]
    assert accepted == [size for size in sizes if pattern.fits(size)] == [2, 4, 6, 8]
