"""ONNX files that no exporter writes: each ends soon, with one line that names the file."""

import struct
import time

import pytest
from tconv.test_graphs import constant, model_of

from upsample_cli.errors import UpsampleError
from upsample_cli.tconv.graphs.report import graph_report

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
node, tensor = onnx.helper.make_node, onnx.helper.make_tensor
FLOAT, DOUBLE, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64

CONSTANTS = [
    constant("empty", []),
    constant("one", [1]),
    constant("large", [2**62] * 4096),
    constant("parts", [2**62] * 100),
    tensor("scalar", FLOAT, [], [1.0]),
    tensor("many", FLOAT, [], [1e18]),
    tensor("power", FLOAT, [], [64.0]),
    tensor("nan", FLOAT, [4], [float("nan")] * 4),
    tensor("infinite", FLOAT, [4], [float("inf")] * 4),
    *(tensor(name, DOUBLE, [], [number]) for name, number in (("zero", 0.0), ("far", 1e308), ("step", 1e-308))),
]
USED = node("Add", ["x", "p"], ["y"])


def problem(nodes, tmp_path, opset=18):
    path = model_of(nodes, {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx", CONSTANTS, opset)
    with pytest.raises(UpsampleError) as caught:
        graph_report(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 250
    return message


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Reshape", ["x", "nan"], ["y"])],
        [node("Reshape", ["x", "infinite"], ["y"])],
        [node("MaxUnpool", ["x", "x", "nan"], ["y"], kernel_shape=[2, 2])],
        [node("TopK", ["x", "empty"], ["y", "places"])],
        [node("OneHot", ["x", "empty"], ["y"])],
        [node("LayerNormalization", ["scalar", "scalar"], ["p", "mean"]), USED],
        [node("Range", ["zero", "far", "step"], ["p"]), USED],
        [node("Pow", ["many", "power"], ["p"]), USED],
        [node("ReduceProd", ["large"], ["q"], keepdims=0), node("Floor", ["q"], ["p"]), USED],
        [node("Reshape", ["x", "p"], ["y"]), node("Constant", [], ["p"], value_ints=["a", "b"])],
        [node("Split", ["empty"], ["p"], axis=0), node("Split", ["empty", "empty"], ["q"]), USED],
    ],
)
def test_numbers_and_settings_that_do_not_fit_are_one_line(nodes, tmp_path):
    assert nodes[-2 if nodes[-1] is USED else -1].op_type in problem(nodes, tmp_path)


def test_long_lists_are_not_computed_with_and_not_printed(tmp_path):
    assert "shape has 4096 numbers" in problem([node("Reshape", ["x", "large"], ["y"])], tmp_path)
    assert "shape has 1000 numbers" in problem([node("Reshape", ["x"], ["y"], shape=[2**62] * 1000)], tmp_path, 4)
    assert "not the sum of [461168601842738" in problem([node("Split", ["x", "parts"], ["y"])], tmp_path)


@pytest.mark.parametrize(
    ("nodes", "cause", "opset"),
    [
        ([node("Add", ["x", "one"], ["y"], broadcast=1, axis=-(10**10))], "no axis -10000000000", 6),
        ([node("Split", ["x"], ["y"], num_outputs=10**10)], "10000000000 outputs", 18),
        ([node("Mul", ["large"] * 3000, ["p"]), USED], "too large", 18),
        ([node("Unsqueeze", ["x"], ["y"], axes=list(range(1000)))], "axes has 1000 numbers", 11),
        ([node("Unsqueeze", ["x"], ["y"], axes=list(range(20)))], "more than 16 dimensions", 11),
    ],
)
def test_small_files_do_not_need_much_memory(nodes, cause, opset, tmp_path):
    assert cause in problem(nodes, tmp_path, opset)


def test_many_inputs_count_as_work(tmp_path):
    """Each size that is tried takes as long as the node has inputs."""
    path = model_of(
        [node("Relu", ["x"], ["r"]), node("Sum", ["r"] * 40_000, ["y"])], {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx"
    )
    before = time.process_time()
    assert graph_report(path).fits is None
    assert time.process_time() - before < 10


def chain(operator, count, **settings):
    return [node(operator, [f"v{n}" if n else "x"], [f"v{n + 1}"], **settings) for n in range(count)]


def many(operator, inputs, count=3000):
    return [*(node(operator, inputs, [f"m{n}"]) for n in range(count)), node("Relu", ["x"], ["y"])]


@pytest.mark.parametrize(
    ("nodes", "cause"),
    [
        (chain("Relu", 90_000), None),
        (chain("MaxPool", 60_000, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]), None),
        ([*chain("MaxPool", 40_000, kernel_shape=[3, 3], pads=[1] * 4), node("Add", ["x", "v40000"], ["y"])], None),
        (many("Gather", ["large", "places"]), "take too long to compute"),
        (many("Mul", ["large", "places"]), "take too long to compute"),
        ([node("MaxPool", ["x"], [f"p{n}"], strides=[1] * 3000) for n in range(1000)], "more than 2000000 fields"),
    ],
)  # fmt: skip
def test_the_largest_graphs_take_a_few_seconds(nodes, cause, tmp_path):
    constants = [constant("large", [3] * 4096), constant("places", [0] * 4096)]
    path = model_of(nodes, {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx", constants, 13)
    before = time.process_time()
    if cause is None:
        graph_report(path)
    else:
        with pytest.raises(UpsampleError, match=cause):
            graph_report(path)
    assert time.process_time() - before < 12


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Relu", ["x"], ["y"]), node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])],
        [node("MaxPool", ["x"], ["x"], kernel_shape=[2, 2])],
        [node("Identity", ["x"], ["one"])],
    ],
)
def test_two_values_with_one_name_are_refused(nodes, tmp_path):
    assert "two values are called" in problem(nodes, tmp_path)


def test_an_output_without_a_name_is_not_an_input_without_a_name(tmp_path):
    nodes = [
        node("MaxPool", ["x"], ["p", ""], kernel_shape=[2, 2], strides=[2, 2]),
        node("Dropout", ["p"], ["q", ""]),
        node("Resize", ["q", "", "", "sizes"], ["y"]),
    ]
    path = model_of(nodes, {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx", [constant("sizes", [1, 1, 9, 7])])
    assert graph_report(path).outputs == {"y": (1, 1, 9, 7)}


def test_batches_of_matrices_that_differ_are_named_by_their_dimension(tmp_path):
    nodes = [node("Reshape", ["x", "shape"], ["r"]), node("MatMul", ["r", "w"], ["y"])]
    constants = [constant("shape", [2, 4, 2]), onnx.numpy_helper.from_array(__import__("numpy").zeros((3, 2, 5)), "w")]
    path = model_of(nodes, {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx", constants)
    with pytest.raises(UpsampleError, match=r"\(2x4x2\) and .*\(3x2x5\): batch 2 is not 3"):
        graph_report(path)


def test_numbers_of_a_constant_are_read_no_further_than_its_size(tmp_path):
    """The size is 1, and a million numbers follow in many short fields."""

    def field(number, content):
        length = len(content)
        return bytes([number << 3 | 2, length & 127 | 128, length >> 7 & 127 | 128, length >> 14]) + content

    numbers = field(7, bytes(60_000)) * 300
    one = b"\x08\x01\x10\x07" + numbers
    size = struct.pack("<5B", *(len(one) >> 7 * place & 127 | 128 for place in range(4)), len(one) >> 28)
    graph = b"\x2a" + size + one
    size = struct.pack("<5B", *(len(graph) >> 7 * place & 127 | 128 for place in range(4)), len(graph) >> 28)
    (tmp_path / "n.onnx").write_bytes(b"\x3a" + size + graph)
    before = time.process_time()
    with pytest.raises(UpsampleError, match=r"has 60000 of 1 numbers"):
        graph_report(tmp_path / "n.onnx")
    assert time.process_time() - before < 1
