"""What is said of ONNX files that are damaged, or whose inputs and weights are not as they should be."""

import numpy as np
import pytest
from tconv.test_graphs import FLOAT, constant, model_of, weight

from upsample_cli.errors import UpsampleError
from upsample_cli.tconv.graphs import transposed
from upsample_cli.tconv.graphs.report import graph_report

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
node, tensor = onnx.helper.make_node, onnx.TensorProto


def sparse(model):
    values, places = constant("s", [1.0], FLOAT), constant("i", [0])
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [9]))


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda model: model.ClearField("graph"), "it has no graph"),
        (sparse, "it has sparse constants"),
        (lambda model: setattr(model.graph.node[0], "domain", "com.acme"), r"com\.acme\.Relu 'y' is not supported"),
        (lambda model: model.graph.node[0].attribute.append(onnx.helper.make_attribute("a", [0.5] * 4097)),
         "the attribute a has more than 4096 numbers"),
        (lambda model: model.graph.input[0].type.tensor_type.shape.dim.extend(
            [type(model.graph.input[0].type.tensor_type.shape.dim[0])(dim_value=1)] * 17), "an input has more than 16"),
        (lambda model: model.graph.initializer.append(tensor(name="c", dims=[1] * 17)), "a constant has more than 16"),
        (lambda model: model.graph.initializer.append(tensor(name="c", dims=[-1])), "'c' has a negative size"),
        (lambda model: model.graph.initializer.append(tensor(name="c", dims=[4], data_type=7, int64_data=[1] * 70_000)),
         "a list of whole numbers has 70000 bytes"),
    ],
)  # fmt: skip
def test_damage_is_named(damage, cause, tmp_path):
    path = model_of([node("Relu", ["x"], ["y"])], {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx")
    graph_report(path)  # the control
    model = onnx.load(path)
    damage(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UpsampleError, match=rf"n\.onnx.*{cause}"):
        graph_report(path)


@pytest.mark.parametrize(
    ("inputs", "size", "cause"),
    [
        ({}, None, "it has no input"),
        ({"x": None}, None, "the shape of 'x' is not in the file"),
        ({"x": [1, "channels", 8, 8]}, (8, 8), "does not say how many channels 'x' has; write them before the size"),
        ({"x": [1, 3, 8, 8]}, (1, 1, 3, 8, 8), "the input 'x' has 4 dimensions, the size 5"),
    ],
)
def test_a_size_that_is_missing_is_asked_for(inputs, size, cause, tmp_path):
    nodes = [node("Relu", ["x"] if inputs else ["c"], ["y"])]
    path = model_of(nodes, inputs, tmp_path / "n.onnx", [weight("c", [1, 1, 2, 2])])
    with pytest.raises(UpsampleError, match=rf"n\.onnx: .*{cause}"):
        graph_report(path, size)


@pytest.mark.parametrize("shape", [(1, 3, 5), (7,)])
def test_a_file_without_the_shape_of_its_input_takes_any(shape, tmp_path):
    path = model_of([node("Relu", ["x"], ["y"])], {"x": None}, tmp_path / "n.onnx")
    assert graph_report(path, shape).outputs == {"y": shape}


def up(path, shape=(1, 1, 2, 2), fill=1.0, **settings):
    values = onnx.numpy_helper.from_array(np.full(shape, fill, "float32"), "w")
    return model_of([node("ConvTranspose", ["x", "w"], ["y"], **settings)], {"x": [1, 1, 4, 4]}, path, [values])


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"shape": (1, 1, 2, 2, 2, 2)}, "its weight has 6 dimensions; it needs 3 to 5"),
        ({"output_shape": [9, 9]}, "its output_shape fits one size only"),
    ],
)
def test_transposed_convolutions_that_no_layer_is_are_named(settings, cause, tmp_path):
    with pytest.raises(UpsampleError, match=rf"n\.onnx: ConvTranspose 'y': {cause}"):
        transposed.convolutions_of(up(tmp_path / "n.onnx", **settings))


def test_a_file_without_transposed_convolutions_is_refused(tmp_path):
    path = model_of([node("Relu", ["x"], ["y"])], {"x": [1, 1, 4, 4]}, tmp_path / "n.onnx")
    with pytest.raises(UpsampleError, match=r"n\.onnx: it has no ConvTranspose with a constant weight"):
        transposed.convolutions_of(path)


def read(path):
    graph, (one,) = transposed.convolutions_of(path)
    return lambda: transposed.read_weight(graph, one)


def test_weights_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    assert read(up(tmp_path / "n.onnx"))().tolist() == [[[[1, 1], [1, 1]]]]
    with pytest.raises(UpsampleError, match="the weight 'w' has numbers that are not finite"):
        read(up(tmp_path / "n.onnx", fill=np.inf))()
    later = read(up(tmp_path / "n.onnx"))
    (tmp_path / "n.onnx").write_bytes(b"")
    with pytest.raises(UpsampleError, match="changed while it was read"):
        later()
    monkeypatch.setattr(transposed, "_MOST_WEIGHTS", 3)
    with pytest.raises(UpsampleError, match="the weight 'w' has 4 numbers; give 3 at the most"):
        read(up(tmp_path / "n.onnx"))()


def test_a_weight_outside_the_file_is_not_read(tmp_path):
    model = onnx.load(up(tmp_path / "n.onnx"))
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = tensor.EXTERNAL
    (tmp_path / "n.onnx").write_bytes(model.SerializeToString())
    assert read(tmp_path / "n.onnx")() is None


def test_a_file_that_cannot_be_opened_is_named_with_the_next_step(tmp_path):
    with pytest.raises(UpsampleError, match="cannot be read: Is a directory; check its name and its permissions"):
        graph_report(tmp_path, None)
