"""Colour spaces given by code numbers or by gamma and chromaticities: their names, curves and ICC profiles.

An ICC profile of three primaries and a curve describes the same colours for programs that read only profiles. It cannot
describe HDR: PQ encodes absolute brightness, and HLG depends on the screen.
Sources: ITU-T H.273 (2021), tables 2 and 3; ITU-R BT.2100 (HLG); ICC.1:2022, 9.2, 10.18 and annex E (adaptation).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from upsample_cli.images.model import Colour, ColourSpace

PQ, HLG = 16, 18
_UNSPECIFIED = 2
_D65, _C, _DCI, _E = (31270, 32900), (31000, 31600), (31400, 35100), (33333, 33333)
_BT709 = (64000, 33000, 30000, 60000, 15000, 6000)
_PRIMARIES: dict[int, tuple[str, tuple[int, ...]]] = {
    1: ("BT.709", _D65 + _BT709),
    4: ("BT.470 M", (*_C, 67000, 33000, 21000, 71000, 14000, 8000)),
    5: ("BT.601, 625 lines", (*_D65, 64000, 33000, 29000, 60000, 15000, 6000)),
    6: ("BT.601, 525 lines", (*_D65, 63000, 34000, 31000, 59500, 15500, 7000)),
    7: ("SMPTE 240M", (*_D65, 63000, 34000, 31000, 59500, 15500, 7000)),
    8: ("film", (*_C, 68100, 31900, 24300, 69200, 14500, 4900)),
    9: ("BT.2020", (*_D65, 70800, 29200, 17000, 79700, 13100, 4600)),
    10: ("XYZ", (*_E, 100000, 0, 0, 100000, 0, 0)),
    11: ("DCI P3", (*_DCI, 68000, 32000, 26500, 69000, 15000, 6000)),
    12: ("Display P3", (*_D65, 68000, 32000, 26500, 69000, 15000, 6000)),
    22: ("EBU Tech 3213", (*_D65, 63000, 34000, 29500, 60500, 15500, 7700)),
}
# Names, and the parameters of an ICC parametric curve: the exponent for type 0; g, a, b, c and d for type 3.
_BT709_CURVE = (1 / 0.45, 1 / 1.09929682680944, 0.09929682680944 / 1.09929682680944, 1 / 4.5, 0.08124285829863151)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_TRANSFERS: dict[int, tuple[str, tuple[float, ...]]] = {
    1: ("BT.709", _BT709_CURVE), 6: ("BT.601", _BT709_CURVE), 14: ("BT.2020", _BT709_CURVE),
    15: ("BT.2020", _BT709_CURVE), 11: ("xvYCC", _BT709_CURVE), 12: ("BT.1361", _BT709_CURVE),
    4: ("gamma 2.2", (2.2,)), 5: ("gamma 2.8", (2.8,)), 8: ("linear", (1.0,)), 13: ("sRGB", _SRGB_CURVE),
    7: ("SMPTE 240M", (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 0.0913)),
}  # fmt: skip
_OTHER_TRANSFERS = {9: "logarithmic", 10: "logarithmic", PQ: "PQ", 17: "SMPTE 428", HLG: "HLG"}
_NEAR_SRGB = 100  # programs round chromaticities in different ways
_SRGB_GAMMAS = range(45400, 45511)


def is_srgb(colour: ColourSpace) -> bool:
    """Whether a colour space is sRGB, which is assumed for images that do not state one.

    >>> is_srgb(ColourSpace(codes=(1, 13))), is_srgb(ColourSpace(codes=(12, 13)))
    (True, False)
    """
    if colour.codes is not None:
        return colour.codes[0] in {1, _UNSPECIFIED} and colour.codes[1] in {13, _UNSPECIFIED} and not colour.is_limited
    if colour.intent is not None:
        return True
    near = colour.chromaticities is None or all(
        abs(found - right) <= _NEAR_SRGB for found, right in zip(colour.chromaticities, _D65 + _BT709, strict=True)
    )
    return near and (colour.gamma is None or colour.gamma in _SRGB_GAMMAS)


def name_of(colour: ColourSpace) -> str:
    """The name of a colour space in a message.

    >>> name_of(ColourSpace(codes=(9, 16))), name_of(ColourSpace(gamma=100000))
    ('BT.2020, PQ', 'gamma 1')
    """
    if colour.codes is not None:
        primaries, transfer = colour.codes
        unknown = _PRIMARIES[1] if primaries == _UNSPECIFIED else (f"primaries {primaries}", ())
        names = (
            _PRIMARIES.get(primaries, unknown)[0],
            _TRANSFERS.get(transfer, (_OTHER_TRANSFERS.get(transfer, f"transfer {transfer}"), ()))[0],
        )
        names = (names[0], "sRGB") if transfer == _UNSPECIFIED else names
        return ", ".join(dict.fromkeys(names)) + ", limited range" * colour.is_limited
    parts = [] if colour.gamma is None else [f"gamma {100000 / colour.gamma:.3g}"]
    return " and ".join([*parts, *["chromaticities of its own"] * (colour.chromaticities is not None)])


def curve_of(colour: ColourSpace) -> tuple[float, ...] | None:
    """The parameters of an ICC parametric curve from level to light, type 0 or 3; None if no such curve exists."""
    if colour.codes is not None:
        if colour.is_limited:
            return None
        return _TRANSFERS.get(13 if colour.codes[1] == _UNSPECIFIED else colour.codes[1], ("", None))[1]
    if colour.intent is not None or colour.gamma is None or colour.gamma in _SRGB_GAMMAS:
        return _SRGB_CURVE
    return (100000 / colour.gamma,)


def profile_of(colour: ColourSpace, model: Colour) -> bytes | None:
    """An ICC profile for the same colour space, for "rgb" or "grey"; None if no profile can describe it.

    >>> profile = profile_of(ColourSpace(codes=(12, 13)), "rgb")
    >>> profile[16:20], profile[36:40], int.from_bytes(profile[:4], "big") == len(profile)
    (b'RGB ', b'acsp', True)
    """
    curve, chromaticities = curve_of(colour), chromaticities_of(colour)
    if curve is None or chromaticities is None:
        return None
    columns, adapted = _colorants(chromaticities)
    if columns is None or not 0.1 <= curve[0] <= 30000:
        return None
    kind = 0 if len(curve) == 1 else 3
    trc = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + b"".join(map(_fixed, curve))
    tags = {b"desc": _text(name_of(colour) or "sRGB"), b"cprt": _text("No copyright"), b"wtpt": _xyz(_D50)}
    if model == "grey":
        return _profile(b"GRAY", tags | {b"kTRC": trc})
    tags |= {b"chad": b"sf32" + bytes(4) + b"".join(_fixed(number) for row in adapted for number in row)}
    tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc))


def chromaticities_of(colour: ColourSpace) -> tuple[int, ...] | None:
    """Chromaticities x and y of white, red, green and blue, times 100000; None for code numbers that are not known."""
    if colour.codes is not None:
        return _PRIMARIES.get(1 if colour.codes[0] == _UNSPECIFIED else colour.codes[0], ("", None))[1]
    return _D65 + _BT709 if colour.intent is not None or colour.chromaticities is None else colour.chromaticities


_Vector = Sequence[float]
_Matrix = Sequence[_Vector]
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def _colorants(chromaticities: _Vector) -> tuple[_Matrix | None, _Matrix]:
    """XYZ of full red, green and blue under D50, and the adaptation matrix from the white point to D50.

    The first is None if the chromaticities do not define it.
    """
    adapted: _Matrix
    points = [(x / 1e5, y / 1e5) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)]
    white, *primaries = [_xyz_of(x, y) for x, y in points]
    amounts = _solved([list(row) for row in zip(*primaries, strict=True)], white)
    if amounts is None or min(amounts) <= 0:
        return None, ()
    source, target = _times(_BRADFORD, white), _times(_BRADFORD, _D50)
    if min(source) <= 0:
        return None, ()
    scaled = [[number * new / old for number in row] for row, new, old in zip(_BRADFORD, target, source, strict=True)]
    # The adaptation is the inverse of Bradford's matrix times `scaled`, solved column by column.
    solved = [_solved(_BRADFORD, column) for column in zip(*scaled, strict=True)]
    adapted = [list(row) for row in zip(*(column or () for column in solved), strict=True)]
    columns = [
        _times(adapted, [amount * part for part in primary]) for amount, primary in zip(amounts, primaries, strict=True)
    ]
    return (columns, adapted) if all(abs(part) < 30000 for column in columns for part in column) else (None, ())


def _xyz_of(x: float, y: float) -> _Vector:
    return (x / y, 1.0, (1 - x - y) / y) if y else (x, y, 1 - x - y)


def _times(matrix: _Matrix, vector: _Vector) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _determinant(m: _Matrix) -> float:
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _solved(matrix: _Matrix, right: _Vector) -> list[float] | None:
    """Solve `matrix * x = right` by Cramer's rule; None if the matrix is singular."""
    whole = _determinant(matrix)
    if abs(whole) < 1e-9:
        return None
    return [
        _determinant([[*row[:at], value, *row[at + 1 :]] for row, value in zip(matrix, right, strict=True)]) / whole
        for at in range(3)
    ]


def _fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def _xyz(vector: _Vector) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, vector))


def _text(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile. Its date is that of the specification, so its bytes are the same each time."""
    at, table, stored, places = 128 + 4 + 12 * len(tags), b"", b"", dict[bytes, int]()
    for name, data in tags.items():
        if data not in places:
            places[data] = at + len(stored)
            stored += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    size = at + len(stored)
    head = struct.pack(">I4xI4s4s4s", size, 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2022, 5, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(map(_fixed, _D50)) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + stored
