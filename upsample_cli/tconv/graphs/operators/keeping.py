"""Operators of ONNX that keep the shape of their first input."""

from __future__ import annotations

from collections.abc import Sequence

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.operators.joining import broadcast_shape
from upsample_cli.tconv.graphs.values import Inputs, Operator, Value, required

_NAMES = """
Acos Acosh Asin Asinh Atan Atanh Bernoulli BatchNormalization BitwiseNot Celu Cos Cosh CumSum DequantizeLinear Dropout
Elu Erf EyeLike Gelu GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization IsInf IsNaN
LRN LayerNormalization LeakyRelu LogSoftmax LpNormalization MeanVarianceNormalization Mish Not QuantizeLinear
PRelu RMSNormalization RandomNormalLike RandomUniformLike Relu ScatterElements ScatterND Selu Shrink Sigmoid Sin Sinh
Softmax Softplus Softsign Swish Tan Tanh ThresholdedRelu Trilu
"""
_PER_CHANNEL = ("BatchNormalization", "InstanceNormalization")
_BROADCAST = ("LayerNormalization", "PRelu", "RMSNormalization")
"""Operators whose weight is repeated along their input."""
_WITH_BROADCAST = 7
"""The first version in which the weight of PRelu follows the rules of broadcasting."""


def _kept(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:
    given = Value(required(inputs, 0).shape)
    if opset >= _WITH_BROADCAST:
        _check_weight(node, given, inputs)
    if node.operator not in ("BatchNormalization", "LayerNormalization") or len(node.outputs) == 1:
        return [given] * max(1, len(node.outputs))
    if node.operator == "BatchNormalization":  # its other outputs are statistics of the channels
        return [given, *[Value(required(inputs, 1).shape)] * (len(node.outputs) - 1)]
    axis = node.int("axis", -1) % len(given.shape)
    means = Value(tuple(1 if place >= axis else size for place, size in enumerate(given.shape)))
    return [given, *[means] * (len(node.outputs) - 1)]


def _check_weight(node: Node, given: Value, inputs: Inputs) -> None:
    if node.operator in _PER_CHANNEL and required(inputs, 1).shape != given.shape[1:2]:
        raise GeometryError(
            f"its weight has the shape {list(required(inputs, 1).shape)}, its input {list(given.shape)}",
            "give the input the channels of the model",
        )
    if node.operator in _BROADCAST and broadcast_shape([given, required(inputs, 1)]) != given.shape:
        raise GeometryError("its weight is larger than its input", "give the size for which it was exported")


KEEPING: dict[str, Operator] = dict.fromkeys(_NAMES.split(), _kept)
