"""Operators of ONNX that keep the shape of their first input."""

from __future__ import annotations

from collections.abc import Sequence

from upsample_cli.tconv.graphs.graph import Node
from upsample_cli.tconv.graphs.values import Inputs, Operator, Value, required

_NAMES = """
Acos Acosh Asin Asinh Atan Atanh Bernoulli BatchNormalization BitwiseNot Celu Cos Cosh CumSum DequantizeLinear Dropout
Elu Erf EyeLike Gelu GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization IsInf IsNaN
LRN LayerNormalization LeakyRelu LogSoftmax LpNormalization MeanVarianceNormalization Mish Not QuantizeLinear
PRelu RMSNormalization RandomNormalLike RandomUniformLike Relu ScatterElements ScatterND Selu Shrink Sigmoid Sin Sinh
Softmax Softplus Softsign Swish Tan Tanh ThresholdedRelu Trilu
"""


def _kept(node: Node, inputs: Inputs, opset: int) -> Sequence[Value]:  # noqa: ARG001
    given = Value(required(inputs, 0).shape)
    if node.operator not in ("BatchNormalization", "LayerNormalization") or len(node.outputs) == 1:
        return [given] * max(1, len(node.outputs))
    if node.operator == "BatchNormalization":  # its other outputs are statistics of the channels
        return [given, *[Value(required(inputs, 1).shape)] * (len(node.outputs) - 1)]
    axis = node.int("axis", -1) % len(given.shape)
    means = Value(tuple(1 if place >= axis else size for place, size in enumerate(given.shape)))
    return [given, *[means] * (len(node.outputs) - 1)]


KEEPING: dict[str, Operator] = dict.fromkeys(_NAMES.split(), _kept)
