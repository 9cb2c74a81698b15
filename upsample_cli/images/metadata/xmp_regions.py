"""Correct the regions in XMP, such as faces, for the turned and enlarged image.

Source: Metadata Working Group, Guidelines 2.0, "Image regions"; Microsoft, "People tagging overview"; IPTC Photo
Metadata Standard 2019.1, "Image region".
"""

from __future__ import annotations

from upsample_cli.images.metadata.change import Change
from upsample_cli.images.metadata.xmp import Packet, Part

_MEASURES = ("rbX", "rbY", "rbW", "rbH", "rbRx")

_PROPORTION = 0.02
"""How far aspect ratios may differ: regions may refer to a thumbnail, whose sides are rounded."""


def mwg(packet: Packet, regions: Part, change: Change) -> bool:
    """Correct regions of the Metadata Working Group.

    An `Area` is given by its middle, in fractions or pixels of `AppliedToDimensions`. It refers to the stored image,
    unless these dimensions fit the upright one. If their aspect ratio is that of neither, the image has been cropped
    since, and the regions are left out, as the guidelines say.
    """
    fields = _by_local_name(regions)
    applied = _by_local_name(fields["AppliedToDimensions"]) if "AppliedToDimensions" in fields else {}
    size: tuple[float, float] = change.stored_width, change.stored_height
    try:
        if {"w", "h"} <= applied.keys():
            size = float(packet.text(applied["w"])), float(packet.text(applied["h"]))
            change = _applied(size, change)
        for part in regions.below():
            if part.name[1] in {"Area", "DLYArea", "ALGArea"}:
                _set_area(packet, _by_local_name(part), size, change)
    except (KeyError, ValueError, ZeroDivisionError):
        return False
    for side, new in (("w", change.width), ("h", change.height)):
        if side in applied:
            packet.set(applied[side], str(new))
    return True


def _by_local_name(part: Part) -> dict[str, Part]:
    return {name[1]: found for name, found in part.fields().items()}


def _applied(size: tuple[float, float], change: Change) -> Change:
    """The change for regions that refer to an image of this size, (width, height).

    Raises:
        ValueError: the size has another aspect ratio.
    """
    width, height = size
    proportion = width / height
    if not (0 < proportion < float("inf")):
        raise ValueError("no size")
    if abs(proportion * change.stored_height / change.stored_width - 1) < _PROPORTION:
        return change
    if change.swapped and abs(proportion * change.stored_width / change.stored_height - 1) < _PROPORTION:
        return Change(1, change.stored_width, change.stored_height, change.height, change.width)
    raise ValueError("another proportion")


def _set_area(packet: Packet, area: dict[str, Part], size: tuple[float, float], change: Change) -> None:
    pixels = packet.text(area.get("unit")) == "pixel"
    if change.orientation == 1 and not pixels:
        return
    across, down = size if pixels else (1.0, 1.0)
    new_across, new_down = (change.width, change.height) if pixels else (1, 1)
    x, y = change.point(float(packet.text(area["x"])) / across, float(packet.text(area["y"])) / down)
    new = {"x": x * new_across, "y": y * new_down}
    if {"w", "h"} <= area.keys():
        width, height = float(packet.text(area["w"])) / across, float(packet.text(area["h"])) / down
        width, height = (height, width) if change.swapped else (width, height)
        new |= {"w": width * new_across, "h": height * new_down}
    if "d" in area and pixels:  # a fraction is relative to the shorter side
        new["d"] = float(packet.text(area["d"])) * min(change.width, change.height) / min(size)
    for name, value in new.items():
        packet.set(area[name], _number(value))


def _number(value: float) -> str:
    if not abs(value) < 1e9:
        raise ValueError("no number")
    return f"{value:.9g}"


def microsoft(packet: Packet, rectangle: Part, change: Change) -> bool:
    """Correct a Microsoft rectangle: its top left corner and its sides, in fractions of the stored image."""
    try:
        x, y, width, height = (float(side) for side in packet.text(rectangle).split(","))
        if change.orientation != 1:
            packet.set(rectangle, ", ".join(_number(value) for value in change.box(x, y, width, height)))
    except ValueError:
        return False
    return True


def iptc(packet: Packet, boundary: Part, change: Change) -> bool:
    """Correct the boundary of an IPTC region: a rectangle (top left corner), a circle (middle) or a list of corners."""
    fields = _by_local_name(boundary)
    pixels = packet.text(fields.get("rbUnit")) == "pixel"
    if change.orientation == 1 and not pixels:
        return True
    before = (change.stored_width, change.stored_height) if pixels else (1, 1)
    after = (change.width, change.height) if pixels else (1, 1)
    try:
        for item in fields["rbVertices"].items() if "rbVertices" in fields else ():
            _move(packet, _by_local_name(item), change, before, after)
        if "rbX" in fields:
            _move(packet, fields, change, before, after)
    except (KeyError, ValueError):
        return False
    return True


def _move(
    packet: Packet, place: dict[str, Part], change: Change, before: tuple[int, int], after: tuple[int, int]
) -> None:
    stated = {name: float(packet.text(part)) for name, part in place.items() if name in _MEASURES}
    width, height = (stated.get(name, 0) / side for name, side in zip(("rbW", "rbH"), before, strict=True))
    x, y, width, height = change.box(stated["rbX"] / before[0], stated["rbY"] / before[1], width, height)
    new = {"rbX": x * after[0], "rbY": y * after[1], "rbW": width * after[0], "rbH": height * after[1]}
    if "rbRx" in stated:  # the radius is relative to the width
        wider = change.stored_width / change.stored_height if change.swapped else 1
        new["rbRx"] = stated["rbRx"] / before[0] * wider * after[0]
    for name in stated:
        packet.set(place[name], _number(new[name]))
