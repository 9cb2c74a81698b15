"""Images at any size in fractions: matrices along both axes, and one rounding half up at the end."""

import math
from fractions import Fraction
from functools import partial

import numpy as np

from support.oracles import CUBICS, cubic_value

TAPS = {"bilinear": lambda x: max(Fraction(0), 1 - x), **{name: partial(cubic_value, CUBICS[name]) for name in CUBICS}}


def enlarging_matrix(length, factor, kernel, border):
    """Fractions (length * factor, length): the value at an output's centre, by its distance to the inputs' centres."""
    rows = []
    for output in range(length * factor):
        centre = Fraction(2 * output + 1, 2 * factor) - Fraction(1, 2)
        if kernel == "nearest":
            taps = {output // factor: Fraction(1)}
        else:
            near = range(math.floor(centre) - 3, math.floor(centre) + 5)
            taps = {index: TAPS[kernel](abs(centre - index)) for index in near}
        row = [Fraction(0)] * length
        for index, weight in taps.items():
            if border == "zeros" and not 0 <= index < length:
                continue
            row[min(max(index, 0), length - 1)] += weight
        rows.append(row)
    return rows


def reducing_matrix(length, reduced, kernel):
    """Integers over 2**14 (reduced, length). Nearest takes shares of area, the other kernels Lanczos' sinc."""
    rows = []
    for output in range(reduced):
        start, stop = Fraction(output * length, reduced), Fraction((output + 1) * length, reduced)
        if kernel == "nearest":
            weights = [float(max(Fraction(0), min(stop, i + 1) - max(start, i))) for i in range(length)]
        else:
            weights = []
            for index in range(length):
                x = float((index + Fraction(1, 2) - (start + stop) / 2) / (stop - start))
                near = math.sin(math.pi * x) * math.sin(math.pi * x / 3) * 3 / (math.pi * x) ** 2 if x else 1.0
                weights.append(near if abs(x) < 3 else 0.0)
        whole = [math.floor(weight / sum(weights) * 2**14 + 0.5) for weight in weights]
        whole[whole.index(max(whole))] += 2**14 - sum(whole)
        rows.append([Fraction(weight, 2**14) for weight in whole])
    return rows


def expected(pixels, size, kernel="bilinear", border="replicate", *, has_alpha=False, matrix=reducing_matrix):
    """Exact fractions along both axes, with one rounding half up at the end."""
    factor = max(-(-made // given_) for made, given_ in zip(size, pixels.shape[:2], strict=True))
    both = []
    for given_, made in zip(pixels.shape[:2], size, strict=True):
        enlarging = np.array(enlarging_matrix(given_, factor, kernel, border), dtype=object)
        reducing = np.array(matrix(given_ * factor, made, kernel), dtype=object)
        both.append(reducing @ enlarging if made != given_ * factor else enlarging)
    numbers = _premultiplied(pixels, has_alpha)
    planes = [both[0] @ numbers[..., channel] @ both[1].T for channel in range(pixels.shape[2])]
    return _finished(planes, pixels.dtype, has_alpha)


def expected_behind_layer(pixels, size, kernel, border="replicate", *, has_alpha=False):
    """The same behind a layer with a kernel of whole weights: every input pixel adds the weights to the outputs."""
    rim = kernel.halo
    mode = {"replicate": "edge", "zeros": "constant", "reflect": "reflect"}[border]
    padded = np.pad(pixels, ((rim, rim), (rim, rim), (0, 0)), mode=mode)
    rows, columns = (
        np.array(reducing_matrix(given_ * kernel.factor, made, "lanczos3"), dtype=object)
        for given_, made in zip(pixels.shape[:2], size, strict=True)
    )
    sums = layer_sums(padded, kernel, has_alpha=has_alpha)
    planes = [rows @ plane @ columns.T / kernel.denominator for plane in sums]
    return _finished(planes, pixels.dtype, has_alpha)


def layer_sums(padded, kernel, *, has_alpha=False):
    """For each channel, whole sums (height * factor, width * factor): every input pixel adds the weights to outputs."""
    factor, rim, size = kernel.factor, kernel.halo, kernel.kernel_size
    weights = np.array([int(weight) for weight in kernel.weights], dtype=object).reshape(size, size)
    numbers = _premultiplied(padded, has_alpha)
    height, width = numbers.shape[:2]
    start = kernel.padding + rim * factor
    planes = []
    for channel in range(numbers.shape[2]):
        full = np.zeros((height * factor + size, width * factor + size), dtype=object)
        for row, column in np.ndindex(height, width):
            rows, columns = (slice(at * factor, at * factor + size) for at in (row, column))
            full[rows, columns] += weights * numbers[row, column, channel]
        planes.append(full[start : start + (height - 2 * rim) * factor, start : start + (width - 2 * rim) * factor])
    return planes


def _premultiplied(pixels, has_alpha):
    numbers = pixels.astype(object)
    if has_alpha:
        numbers[..., :-1] = numbers[..., :-1] * numbers[..., -1:]
    return numbers


def _finished(planes, dtype, has_alpha):
    """Planes of exact values to pixels (height, width, channels)."""
    if has_alpha:
        planes[:-1] = [
            np.where(planes[-1] > 0, plane / np.where(planes[-1] > 0, planes[-1], 1), 0) for plane in planes[:-1]
        ]
    largest = int(np.iinfo(dtype).max)
    rounded = np.vectorize(lambda value: min(max(math.floor(value + Fraction(1, 2)), 0), largest), otypes=[np.int64])
    return np.stack([rounded(plane) for plane in planes], axis=2).astype(dtype)
