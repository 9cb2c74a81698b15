"""Builds random nodes of ONNX and the constants they need."""

import numpy as np
from onnx import helper, numpy_helper

FLOAT, INT, BOOL = np.float32, np.int64, np.bool_


class Builder:
    """Nodes on an input `x` of a random shape, for a version of the operators."""

    def __init__(self, rng, opset):
        self.rng, self.opset, self.nodes, self.constants = rng, opset, [], []
        self.shape = [
            rng.randint(1, 2),
            rng.choice([1, 3, 4, 8]),
            *(rng.randint(1, 9) for _ in range(rng.randint(1, 3))),
        ]

    @property
    def rank(self):
        return len(self.shape)

    def constant(self, numbers, kind=INT):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(numbers, kind), name))
        return name

    def ones(self, shape):
        return self.constant(np.ones(shape), FLOAT)

    def add(self, operator, *inputs, outputs=1, since=99, **settings):
        """Add a node; settings are attributes, those in a list inputs from version `since` on."""
        given = list(inputs)
        for name, value in [*settings.items()] if self.opset >= since else []:
            if isinstance(value, list):
                given.append(self.constant(settings.pop(name)))
        names = [f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, given, names, **settings))
        return names[0]

    def axis(self):
        return self.rng.randrange(self.rank) - self.sign()

    def sign(self):
        """What makes an axis count from the end, or not; before version 11, few operators could."""
        return self.rank * self.rng.randint(0, 1) if self.opset >= 11 else 0

    def axes(self):
        chosen = self.rng.sample(range(self.rank), self.rng.randint(1, self.rank))
        return [axis - self.sign() for axis in chosen]
