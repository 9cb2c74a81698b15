"""The operators of ONNX: what each does to shapes, and to small numbers from which other sizes are computed.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from upsample_cli.tconv.graphs.operators.arithmetic import ARITHMETIC
from upsample_cli.tconv.graphs.operators.joining import JOINING
from upsample_cli.tconv.graphs.operators.keeping import KEEPING
from upsample_cli.tconv.graphs.operators.moving import MOVING
from upsample_cli.tconv.graphs.operators.reducing import REDUCING
from upsample_cli.tconv.graphs.operators.resizing import RESIZING
from upsample_cli.tconv.graphs.operators.selecting import SELECTING
from upsample_cli.tconv.graphs.operators.sliding import SLIDING
from upsample_cli.tconv.graphs.values import Operator

OPERATORS: dict[str, Operator] = {
    **KEEPING,
    **SLIDING,
    **JOINING,
    **ARITHMETIC,
    **MOVING,
    **SELECTING,
    **REDUCING,
    **RESIZING,
}
"""The function of each supported operator."""
