"""Random nodes of ONNX with settings that are mostly legal."""

import math

import numpy as np
from onnx import numpy_helper
from tconv.node_builder import BOOL, FLOAT, INT

FAR = [-(2**63), -(2**31), 100]


def slices(b):
    axes = b.axes()
    starts, ends = ([b.rng.choice([b.rng.randint(-12, 12), b.rng.choice(FAR)]) for _ in axes] for _ in range(2))
    steps = {"steps": [b.rng.choice([-3, -2, -1, 1, 2, 3, -(2**63)]) for _ in axes]} if b.opset >= 10 else {}
    b.add("Slice", "x", since=10, starts=starts, ends=ends, axes=axes, **steps)


def splits(b):
    axis, count = b.axis(), b.rng.randint(1, 4)
    cuts = sorted(b.rng.randint(0, b.shape[axis]) for _ in range(count - 1))
    parts = [end - start for start, end in zip([0, *cuts], [*cuts, b.shape[axis]], strict=True)]
    even = {"num_outputs": count} if b.opset >= 18 else {}
    b.add("Split", "x", outputs=count, since=13, axis=axis, **b.rng.choice([{"split": parts}, even]))


def picks(b):
    axis = b.axis()
    places = [b.rng.randint(-b.shape[axis] if b.opset >= 11 else 0, b.shape[axis]) for _ in range(2)]
    b.add("Gather", "x", b.constant(b.rng.choice([places, places[0], [places]])), axis=axis)
    b.add("ArgMax", "x", axis=axis, keepdims=b.rng.randint(0, 1))
    if b.opset >= 10:
        b.add("TopK", "x", b.constant([b.rng.randint(1, 4)]), outputs=2, axis=axis)
    if b.opset >= 11:
        b.add("GatherElements", "x", b.constant(np.zeros([1] * b.rank)), axis=axis)
    if b.opset >= 18:
        axes = b.axes()
        b.add("CenterCropPad", "x", b.constant([b.rng.randint(1, 9) for _ in axes]), axes=axes)


def joins(b):
    axis, other = b.axis(), list(b.shape)
    other[axis] = b.rng.randint(1, 4)
    b.add("Concat", "x", b.ones(other), "x", axis=axis)
    smaller = [b.rng.choice([1, size]) for size in b.shape][b.rng.randint(0, 2) :]
    operator = b.rng.choice(["Add", "Sub", "Mul", "Div", "Pow", *(["Max", "Mean", "Sum"] if b.opset >= 8 else [])])
    b.add(operator, *b.rng.sample(["x", b.ones(smaller)], 2))
    if b.opset >= 9:
        b.add("Where", b.constant(np.ones([1, *b.shape[1:]]), BOOL), "x", b.ones(smaller))
        b.add("Expand", "x", b.constant(b.rng.choice([[1], [2, *b.shape], [*b.shape[:-1], 1], [3]])))
    b.add("Tile", "x", b.constant([b.rng.randint(0, 3) for _ in b.shape]))
    b.add("MatMul", "x", b.ones(b.rng.choice([[b.shape[-1]], [b.shape[-1], 5], [1, b.shape[-1], 2]])))


def moves(b):
    pool = [0, -1, 1, math.prod(b.shape), *b.shape]
    wanted = b.rng.choice([[b.rng.choice(pool) for _ in range(3)], [0, -1], [b.shape[0], 0, -1], [-1, 0, b.shape[-1]]])
    b.add("Reshape", "x", b.constant(wanted), **({"allowzero": b.rng.randint(0, 1)} if b.opset >= 14 else {}))
    axis = b.rng.randint(-b.rank if b.opset >= 11 else 0, b.rank)
    flat = b.add("Flatten", "x", axis=axis)
    b.add("Gemm", flat, b.ones([3, math.prod(b.shape[: axis if axis else 0]) or 1]), transA=1, transB=1)
    b.add("Transpose", b.add("Transpose", "x", perm=b.rng.sample(range(b.rank), b.rank)))


def ones_in_shapes(b):
    b.shape = [b.rng.choice([1, 1, size]) for size in b.shape]
    ones = [axis - b.sign() for axis, size in enumerate(b.shape) if size == 1]
    b.add("Squeeze", "x", since=13, **b.rng.choice([{"axes": ones}, {}]) if ones else {})
    rank = b.rank + 2
    b.add("Unsqueeze", "x", since=13, axes=[axis - bool(b.sign()) * rank for axis in b.rng.sample(range(rank), 2)])


def shuffles(b):
    b.shape = [1, b.rng.choice([4, 8, 9, 3]), b.rng.choice([2, 4, 6, 3]), b.rng.choice([2, 4, 6])]
    b.add(b.rng.choice(["DepthToSpace", "SpaceToDepth"]), "x", blocksize=b.rng.choice([1, 2, 3]))


def reductions(b):
    kind = b.rng.choice(["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"])
    settings = {"axes": b.axes()} if b.rng.random() < 0.7 else {}
    since = 13 if kind == "Sum" else 18
    if b.opset >= since:
        settings["noop_with_empty_axes"] = b.rng.randint(0, 1)
    b.add(f"Reduce{kind}", "x", since=since, keepdims=b.rng.randint(0, 1), **settings)


def pads(b):
    mode = b.rng.choice(["constant", "reflect", "edge", *(["wrap"] if b.opset >= 19 else [])])
    axes = b.axes() if b.opset >= 18 and b.rng.random() < 0.5 else None
    ends = [b.rng.choice([0, 0, b.rng.randint(-2, 3)]) for _ in range(2 * len(axes or b.shape))]
    if axes is None:
        b.add("Pad", "x", since=11, mode=mode, pads=ends)
    else:
        b.add("Pad", "x", b.constant(ends), "", b.constant(axes), mode=mode)


def resizes(b):
    scales = [b.rng.choice([1, 1, 2, 0.5, 1.5, b.rng.uniform(0.5, 3)]) for _ in b.shape]
    if b.opset < 11:
        large = b.constant([max(1, one) for one in scales], FLOAT)
        b.add("Upsample" if b.opset < 10 else "Resize", "x", *([large] if b.opset >= 9 else []), mode="nearest",
              **({"scales": [max(1.0, one) for one in scales]} if b.opset < 9 else {}))  # fmt: skip
        return
    settings = {"axes": b.axes()} if b.opset >= 18 and b.rng.random() < 0.6 else {}
    places = settings.get("axes", range(b.rank))
    roi = b.constant([], FLOAT)
    if b.rng.randint(0, 1):
        b.add("Resize", "x", roi, b.constant([scales[place] for place in places], FLOAT), **settings)
        return
    if b.opset >= 18:
        settings["keep_aspect_ratio_policy"] = b.rng.choice(["stretch", "not_larger", "not_smaller"])
        if "axes" in settings:  # ONNX Runtime then takes negative ones for others
            settings["axes"] = [axis % b.rank for axis in settings["axes"]]
    sizes = b.constant([b.rng.randint(1, 15) for _ in places])
    b.add("Resize", "x", roi, "" if b.opset >= 13 else b.constant([], FLOAT), sizes, **settings)


def numbers(b):
    """Whole numbers and floats from which exports compute sizes."""
    value, is_float = b.add("Shape", "x"), False
    for _ in range(b.rng.randint(2, 5)):
        kind = FLOAT if is_float else INT
        other = b.constant(b.rng.choice([-2.5, 0.1, 1.5, 0] if is_float else [-7, -2, 1, 3]), kind)
        step = b.rng.choice(["join", "pow", "cast", "alone", "bool", "pick", "back", "longer", "where", "fold"])
        if step == "join":
            least = ["Add", "Sub", "Mul", "Div", *(["Mod", "Max", "Min"] if b.opset >= 12 else [])]
            operator = b.rng.choice(least)
            fmod = {"fmod": int(is_float or b.rng.random() < 0.5)} if operator == "Mod" else {}
            value = b.add(operator, *b.rng.sample([value, other], 2), **fmod)
        elif step == "pow" and b.opset >= 12:
            value = b.add("Pow", value, b.constant(2, kind))
        elif step == "cast":
            value, is_float = b.add("Cast", value, to=7 if is_float else 1), not is_float
        elif step == "alone":
            value = b.add(
                b.rng.choice(
                    ["Floor", "Ceil", "Neg", *(["Round"] if b.opset >= 11 else [])] if is_float else ["Neg", "Abs"]
                ),
                value,
            )
        elif step in ("bool", "where") and b.opset >= 12:
            flags = b.add("Cast", value, to=9)
            flags = b.add(b.rng.choice(["Equal", "LessOrEqual"]), value, other) if b.rng.randint(0, 1) else flags
            flags = b.add(b.rng.choice(["And", "Or", "Xor"]), flags, b.constant(b.rng.random() < 0.5, BOOL))
            if step == "where":
                value = b.add("Where", flags, value, other)
            else:
                value, is_float = b.add("Cast", flags, to=7), False
        elif step == "pick":
            value = b.add("Gather", value, b.constant(b.rng.choice([[0], [0, 0], 0])), axis=0)
        elif step == "back" and b.opset >= 10:
            value = b.add("Slice", value, *(b.constant([one]) for one in (-1, -9, 0, -1)))
        elif step == "longer":
            value = b.add("Concat", value, b.constant([2], kind), axis=0)
        elif step == "fold" and b.rng.random() < 0.3:
            value = b.add("ReduceProd", value, keepdims=1)


def shapes(b):
    ends = {name: b.rng.randint(-7, 7) for name in ("start", "end")} if b.opset >= 15 else {}
    shape = b.add("Shape", "x", **ends)
    b.add("Size", "x")
    if b.opset >= 9:
        fill = numpy_helper.from_array(np.array([b.rng.choice([0, 3])], b.rng.choice([INT, FLOAT])))
        b.add("ConstantOfShape", shape, **b.rng.choice([{}, {"value": fill}]))
        whole = b.add("Cast", "x", to=7)
        b.add("OneHot", whole, b.constant([3]), b.constant([0, 1]), axis=b.rng.randint(-b.rank - 1, b.rank))
    kind = b.rng.choice([INT, FLOAT])
    count = b.add("Cast", b.add("Size", "x"), to=7 if kind == INT else 1)
    if b.opset >= 11:
        first, step = b.rng.randint(-9, 9) + (kind == FLOAT) * 0.3, b.rng.choice([-2, -1, 1, 3])
        b.add("Range", b.constant(first, kind), count, b.constant(step, kind))
    if b.opset >= 12:
        floats, ints = [{"value_floats": [1.0, 2.5]}, {"value_float": 0.1}], [{"value_ints": [1, 2]}, {"value_int": 3}]
        b.add("Mul", count, b.add("Constant", **b.rng.choice(ints if kind == INT else floats)))
    if b.opset >= 15:
        third = b.add("Div", count, b.constant(-3, kind))
        b.add("CastLike", third, b.constant(b.rng.choice([[], [1]]), b.rng.choice([INT, FLOAT])))


def weights(b):
    b.shape[1] += 2  # ONNX Runtime repeats one channel for several slopes
    channels = b.rng.choice([b.shape[1], b.shape[1], b.shape[1] + 1])
    kind = b.rng.choice(["BatchNormalization", "InstanceNormalization", "PRelu", "LayerNormalization"])
    if kind == "PRelu":
        b.add(kind, "x", b.ones([channels] + [1] * (b.rank - 2)))
    elif kind == "LayerNormalization" and b.opset >= 17:
        b.add(kind, "x", b.ones([channels, *b.shape[2:]]), outputs=b.rng.randint(1, 3), axis=1)
    else:
        kind = "InstanceNormalization" if kind == "LayerNormalization" else kind
        b.add(kind, "x", *[b.ones([channels])] * (4 if kind[0] == "B" else 2))
    b.add(b.rng.choice(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]), "x")


def images(b):
    b.shape = [*b.shape[:2], b.rng.randint(3, 9), b.rng.randint(3, 9)]
    settings = {"kernel_shape": [2, 3], "strides": [b.rng.randint(1, 3), b.rng.randint(1, 3)]}
    settings["pads"] = [b.rng.randint(0, 1) for _ in range(4)]
    b.add("MaxPool", "x", outputs=2, **settings)
    if b.opset >= 9:
        wanted = [b.constant(b.shape)] if b.rng.randint(0, 1) else []
        b.add("MaxUnpool", "v0_0", "v0_1", *wanted, **settings)
    if b.opset >= 16:
        b.add("GridSample", "x", b.ones([b.shape[0], 3, 7, 2]))
    if b.opset < 22:
        b.add("RandomNormal", shape=[2, 3])


KINDS = [
    slices, splits, picks, joins, moves, ones_in_shapes, shuffles, reductions, pads, resizes, numbers, shapes, weights,
    images,
]  # fmt: skip
