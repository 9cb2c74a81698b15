"""Colour encodings of JPEG XL as colour spaces of this package, and the reverse."""

from __future__ import annotations

from upsample_cli.images.codecs.jxl.codestream import CUSTOM, D65, DCI, GREY, RGB, E, Encoding
from upsample_cli.images.color.coded import chromaticities_of, is_srgb, profile_of
from upsample_cli.images.model import Colour, ColourSpace

_SRGB, _BT2020, _P3, _DISPLAY_P3 = 1, 9, 11, 12
_CODES = {(D65, _SRGB): _SRGB, (D65, _BT2020): _BT2020, (D65, _P3): _DISPLAY_P3, (DCI, _P3): _P3}
"""Code numbers of primaries, by white point and primaries in a codestream."""

_ENCODED = {code: pair for pair, code in _CODES.items()} | {2: (D65, _SRGB)}
_WHITES = {D65: (31270, 32900), E: (33333, 33333), DCI: (31400, 35100)}
_LINEAR, _SRGB_CURVE = 8, 13
_TRANSFERS = {1: 1, 2: 13, 6: 1, 14: 1, 15: 1, 8: 8, 13: 13, 16: 16, 17: 17, 18: 18}
"""Transfer functions of codestreams, by code number. 6, 14 and 15 are the same function as 1."""

_GAMMAS = {4: 4545455, 5: 3571429}
_NEAR = 100
_FULL, _ONE = 10_000_000, 100_000
"""The exponent 1 of a codestream, and the chromaticity 1 of a colour space."""


def colour_of(encoding: Encoding) -> ColourSpace | None:
    """The colour space of an encoding without a profile; None for sRGB.

    Raises:
        ValueError: this package has no such colour space.

    >>> colour_of(Encoding(primaries=11)), colour_of(Encoding())
    (ColourSpace(codes=(12, 13), is_limited=False, gamma=None, chromaticities=None, intent=None, mastering=()), None)
    """
    primaries = _SRGB if encoding.space == GREY else encoding.primaries
    code, gamma = _CODES.get((encoding.white, primaries)), encoding.gamma
    transfer = encoding.transfer
    if gamma is None and transfer not in _TRANSFERS.values():
        raise ValueError("no such colour space")
    if gamma is not None:
        transfer = next((number for number, exact in _GAMMAS.items() if abs(gamma - exact) < _NEAR), -1)
    if code is not None and transfer > 0:
        colour = ColourSpace(codes=(code, transfer))
        return None if is_srgb(colour) else colour
    if gamma is None and transfer not in {_LINEAR, _SRGB_CURVE}:
        raise ValueError("no such colour space")
    exponent = _FULL if transfer == _LINEAR else gamma
    colour = ColourSpace(
        gamma=None if exponent is None else round(exponent / 100),
        chromaticities=None if code == _SRGB else _chromaticities(encoding, primaries),
    )
    return None if is_srgb(colour) else colour


def _chromaticities(encoding: Encoding, primaries: int) -> tuple[int, ...]:
    white, *custom = encoding.chromaticities
    found = [*_WHITES.get(encoding.white, ())] if white is None else [round(part / 10) for part in white]
    if primaries == CUSTOM:
        found += [round(part / 10) for point in custom for part in point or ()]
    else:
        known = chromaticities_of(ColourSpace(codes=(_DISPLAY_P3 if primaries == _P3 else primaries, _SRGB_CURVE)))
        found += (known or ())[2:]
    if len(found) != 2 * len(encoding.chromaticities) or not all(0 <= part <= _ONE for part in found):
        raise ValueError("no such colour space")
    return tuple(found)


def encoding_of(colour: ColourSpace | None, model: Colour) -> Encoding | None:
    """The encoding of a colour space, sRGB for None; None if JPEG XL has no encoding for it.

    >>> encoding_of(ColourSpace(codes=(9, 16)), "rgb").transfer, encoding_of(ColourSpace(codes=(9, 10)), "rgb")
    (16, None)
    """
    space = GREY if model == "grey" else RGB
    if colour is None or is_srgb(colour):
        return Encoding(space)
    points = chromaticities_of(colour)
    # Decoders refuse primaries that are not those of a colour space.
    if colour.is_limited or points is None or profile_of(ColourSpace(chromaticities=points), "rgb") is None:
        return None
    transfer, gamma = _SRGB_CURVE, None if colour.gamma is None else colour.gamma * 100
    if colour.codes is not None:
        transfer, gamma = _TRANSFERS.get(colour.codes[1], 0), _GAMMAS.get(colour.codes[1])
    if (gamma is None and not transfer) or (gamma is not None and not _FULL // 1000 <= gamma <= _FULL):
        return None
    if colour.codes is not None and colour.codes[0] in _ENCODED:
        white, primaries = _ENCODED[colour.codes[0]]
        return Encoding(space, white, primaries, transfer=transfer, gamma=gamma)
    if colour.codes is None and colour.chromaticities is None:
        return Encoding(space, transfer=transfer, gamma=gamma)
    pairs = tuple((10 * x, 10 * y) for x, y in zip(points[::2], points[1::2], strict=True))
    return Encoding(space, CUSTOM, CUSTOM, pairs, transfer, gamma)
