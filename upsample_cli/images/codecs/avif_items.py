"""Read the metadata items of an AVIF or HEIC: colour as code numbers, and items and properties that outputs do not get.

Sources: ISO/IEC 14496-12 (boxes), 23008-12 (items and properties) and 23000-22; the AVIF specification, 1.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from upsample_cli.errors import Loss
from upsample_cli.images.codecs.avif import boxes_in
from upsample_cli.images.color.coded import is_srgb
from upsample_cli.images.model import ColourSpace

_ALPHAS = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_XMP = b"application/rdf+xml"
_PLAIN_PROPERTIES = {
    b"ispe", b"pixi", b"av1C", b"hvcC", b"colr", b"auxC", b"irot", b"imir", b"a1op", b"a1lx", b"lsel", b"free",
}  # fmt: skip
_SEQUENCE = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"av01")
_BEFORE_BOXES = {b"stsd": 8, b"av01": 78}
_MOST_BOX_BYTES = 1 << 18  # longer lists are refused by `avif.check_lists`
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class AvifParts:
    """The metadata items of an AVIF, and the losses of the items that are left out."""

    colour: ColourSpace | None = None
    aspect: tuple[int, int] | None = None
    losses: tuple[Loss, ...] = ()


@dataclass
class _Meta:
    """The items of a file with their kind (and content type), their properties, and the references between them."""

    primary: int = 0
    items: dict[int, bytes] = field(default_factory=dict)
    properties: list[tuple[bytes, _Span]] = field(default_factory=list)
    of_item: dict[int, list[int]] = field(default_factory=dict)
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)

    def properties_of(self, item: int) -> Iterator[tuple[bytes, _Span]]:
        for index in self.of_item.get(item, ()):
            if 0 < index <= len(self.properties):
                yield self.properties[index - 1]

    def reached(self, first: set[int]) -> set[int]:
        """The given items, and the tiles that they consist of."""
        found, new = set(first), set(first)
        while new:
            new = {to for kind, item, targets in self.references if kind == b"dimg" and item in new for to in targets}
            new -= found
            found |= new
        return found


def avif_parts(file: BinaryIO, *, crops: bool = False) -> AvifParts:
    """Read the header of an AVIF or another HEIF; malformed boxes are ignored. The file's position is moved.

    Args:
        crops: the decoder applies the crop that a file asks for.
    """
    size_bytes = file.seek(0, 2)
    meta = next((span for kind, *span in boxes_in(file, 0, size_bytes) if kind == b"meta"), None)
    try:
        read = _read_meta(file, meta[0] + 4, meta[1]) if meta else _Meta()
        found = list(read.properties_of(read.primary))
        codes = _codes(file, found) or _codes(file, list(_sequence_boxes(file, 0, size_bytes, _SEQUENCE)))
        aspect, lost = _transformed(file, found, crops=crops)
        return AvifParts(codes, aspect, (*lost, *_left_out(file, read, found)))
    except (struct.error, IndexError):
        return AvifParts(losses=(Loss("metadata", "everything in the file other than its pixels is damaged"),))


def _read_meta(file: BinaryIO, start: int, end: int) -> _Meta:
    made = _Meta()
    for kind, at, stop in boxes_in(file, start, end):
        if kind == b"pitm":
            data = _body(file, at, stop)
            made.primary = int.from_bytes(data[4:8] if data[0] else data[4:6], "big")
        elif kind == b"iinf":
            version = _body(file, at, at + 1)[0]
            for _, item_at, item_stop in boxes_in(file, at + (8 if version else 6), stop):
                _read_item(made, _body(file, item_at, item_stop))
        elif kind == b"iref":
            wide = bool(_body(file, at, at + 1)[0])
            for reference, from_at, from_stop in boxes_in(file, at + 4, stop):
                _read_reference(made, reference, _body(file, from_at, from_stop), 4 if wide else 2)
        elif kind == b"iprp":
            for inner, inner_at, inner_stop in boxes_in(file, at, stop):
                if inner == b"ipco":
                    made.properties = [
                        (name, (first, last)) for name, first, last in boxes_in(file, inner_at, inner_stop)
                    ]
                elif inner == b"ipma":
                    _read_associations(made, _body(file, inner_at, inner_stop))
    return made


def _body(file: BinaryIO, at: int, stop: int) -> bytes:
    file.seek(at)
    return file.read(min(stop - at, _MOST_BOX_BYTES))


def _read_item(made: _Meta, data: bytes) -> None:
    wide = 4 if data[0] >= 3 else 2
    item, at = int.from_bytes(data[4 : 4 + wide], "big"), 6 + wide
    kind = data[at : at + 4]
    content = [*data[at + 4 :].split(b"\0"), b"", b""][1] if kind == b"mime" else b""
    made.items[item] = kind + content


def _read_reference(made: _Meta, kind: bytes, data: bytes, wide: int) -> None:
    item, count = int.from_bytes(data[:wide], "big"), int.from_bytes(data[wide : wide + 2], "big")
    ends = range(wide + 2, min(len(data), wide + 2 + count * wide), wide)
    made.references.append((kind, item, [int.from_bytes(data[at : at + wide], "big") for at in ends]))


def _read_associations(made: _Meta, data: bytes) -> None:
    wide_item, wide_index = 4 if data[0] else 2, 2 if data[3] & 1 else 1
    at, count = 8, int.from_bytes(data[4:8], "big")
    for _ in range(min(count, len(data))):
        item, number = int.from_bytes(data[at : at + wide_item], "big"), data[at + wide_item]
        at += wide_item + 1
        indices = [int.from_bytes(data[at + n * wide_index : at + (n + 1) * wide_index], "big") for n in range(number)]
        made.of_item.setdefault(item, []).extend(index & (0x7FFF if wide_index == 2 else 0x7F) for index in indices)
        at += number * wide_index


def _sequence_boxes(file: BinaryIO, start: int, end: int, path: tuple[bytes, ...]) -> Iterator[tuple[bytes, _Span]]:
    """The boxes at a path of nested boxes."""
    for kind, at, stop in boxes_in(file, start, end):
        if not path:
            yield kind, (at, stop)
        elif kind == path[0]:
            yield from _sequence_boxes(file, at + _BEFORE_BOXES.get(kind, 0), stop, path[1:])


def _codes(file: BinaryIO, properties: list[tuple[bytes, _Span]]) -> ColourSpace | None:
    for kind, (at, stop) in properties:
        data = _body(file, at, stop) if kind == b"colr" else b""
        if data[:4] == b"nclx" and len(data) >= 10:
            primaries, transfer = struct.unpack_from(">HH", data, 4)
            colour = ColourSpace(codes=(primaries & 0xFF, transfer & 0xFF))
            return None if is_srgb(colour) else colour
    return None


def _transformed(
    file: BinaryIO, properties: list[tuple[bytes, _Span]], *, crops: bool
) -> tuple[tuple[int, int] | None, list[Loss]]:
    """The aspect ratio of pixels as `Metadata.aspect`, and the loss of a crop, which is not applied."""
    aspect, losses = None, list[Loss]()
    for kind, (at, stop) in properties:
        if kind == b"pasp":
            across, down = struct.unpack(">II", _body(file, at, stop)[:8])
            aspect = (down, across) if across != down and 0 < across < 2**31 and 0 < down < 2**31 else None
        elif kind == b"clap" and not crops:
            losses.append(
                Loss("metadata", "the crop that the file asks for (clap) is left out; the whole image is read")
            )
    return aspect, losses


def _left_out(file: BinaryIO, meta: _Meta, properties: list[tuple[bytes, _Span]]) -> Iterator[Loss]:
    """A loss for each item or property that is neither carried over nor known to be useless."""
    unknown = {kind for kind, _ in properties} - _PLAIN_PROPERTIES - {b"pasp", b"clap"}
    if unknown:
        yield Loss("metadata", f"properties that we do not keep are left out ({_names(unknown)})")
    auxiliary = {item for kind, item, targets in meta.references if kind == b"auxl" and meta.primary in targets}
    alphas = {item for item in auxiliary if _is_alpha(file, meta, item)}
    # Thumbnails of the input do not apply to the output.
    thumbnails = {item for kind, item, _ in meta.references if kind == b"thmb"}
    used = meta.reached({meta.primary, *alphas, *thumbnails})
    gains = {item for item, kind in meta.items.items() if kind == b"tmap"}
    if gains:
        yield Loss("metadata", "the gain map, which makes it HDR, is left out")
        used |= meta.reached(gains)
    if auxiliary - used:
        yield Loss("metadata", f"auxiliary images, of depth for example, are left out ({len(auxiliary - used)})")
        used |= meta.reached(auxiliary)
    others = [kind for item, kind in meta.items.items() if item not in used]
    for carried in (b"Exif", b"mime" + _XMP):
        if carried in others:
            others.remove(carried)  # only one of each kind is read
    if others:
        yield Loss("metadata", f"items that we do not keep are left out ({_names(set(others))})")


def _is_alpha(file: BinaryIO, meta: _Meta, item: int) -> bool:
    spans = (span for kind, span in meta.properties_of(item) if kind == b"auxC")
    return any(_body(file, at, stop)[4:].startswith(_ALPHAS) for at, stop in spans)


def _names(kinds: set[bytes]) -> str:
    return ", ".join(sorted(kind.removeprefix(b"mime").decode("latin-1").strip() for kind in kinds))[:200]


def with_codes(data: bytes, colour: ColourSpace) -> bytes:
    """An AVIF with the code numbers of `colour` in place of those that the encoder has written."""
    at = data.find(b"colrnclx")
    if at < 0 or colour.codes is None:
        raise ValueError("the encoder has written no code numbers of colour")
    return data[: at + 8] + struct.pack(">HH", *colour.codes) + data[at + 12 :]
