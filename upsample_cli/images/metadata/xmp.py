"""XMP packets, parsed by expat and edited in place, so that all other bytes do not change.

A packet is untrusted: a document type is refused, and with it all entities, and depth and number of elements are
limited. expat gives positions in bytes. Source: XMP Specification, part 1 (ISO 16684-1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

Name = tuple[str, str]
"""Namespace and local name."""

TIFF, EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DESCRIPTION, _ITEM = (RDF, "Description"), (RDF, "li")
_OF_OTHERS = {
    ("http://ns.adobe.com/xap/1.0/mm/", "Pantry"),
    ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "SnapshotLink"),
}
"""Properties that hold the properties of other files: of ingredients and of linked images."""
_USUAL = {"tiff": TIFF, "exif": EXIF}
_MOST_PARTS, _DEEPEST = 50_000, 64

_TAG_NAME = re.compile(rb"<[^\s/>]+")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=>/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TAG_END = re.compile(rb"\s*/?>")


@dataclass(slots=True)
class Part:
    """A property: an element, or an attribute that stands for one. Offsets count bytes of the packet.

    Args:
        name: name of the property.
        start, end: offsets of the whole element or attribute.
        value_start, value_end: offsets of its content.
        name_end: end of an element's name in its start tag.
        parent: the element that contains it.
        parts: the attributes and then the children of an element.
        declared: the namespaces that an element declares, by prefix.
    """

    name: Name
    start: int
    value_start: int
    parent: Part | None
    end: int = 0
    value_end: int = 0
    name_end: int = 0
    parts: list[Part] = field(default_factory=list)
    declared: dict[str, str] = field(default_factory=dict)

    def namespace(self, prefix: str) -> str:
        """The namespace of a prefix in this place: the declared one, the usual one, or else the prefix itself."""
        element: Part | None = self
        while element is not None:
            if prefix in element.declared:
                return element.declared[prefix]
            element = element.parent
        return _USUAL.get(prefix, prefix)

    def fields(self) -> dict[Name, Part]:
        """The fields of a structure."""
        found: dict[Name, Part] = {}
        for part in self.parts:
            found.update(part.fields() if part.name == _DESCRIPTION else {part.name: part})
        return found

    def items(self) -> list[Part]:
        """The items of a list."""
        return [item for container in self.parts for item in container.parts if item.name == _ITEM]

    def below(self) -> Iterator[Part]:
        """All parts inside this one, outer ones first, except the properties of other files."""
        for part in self.parts:
            yield part
            if part.name not in _OF_OTHERS:
                yield from part.below()


class Packet:
    """One XMP packet, and the pending changes to it.

    Args:
        data: the packet in UTF-8.

    Raises:
        ValueError: the packet is not well-formed, declares a document type, is too deep or has too many parts.

    >>> packet = Packet(b'<x tiff:Orientation="6"/>')
    >>> _, part = packet.root.below()
    >>> part.name, packet.text(part)
    (('http://ns.adobe.com/tiff/1.0/', 'Orientation'), '6')
    >>> packet.set(part, "1")
    >>> packet.changed()
    b'<x tiff:Orientation="1"/>'
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._edits = data, list[tuple[int, int, bytes]]()
        start, end = max(data.find(b"<"), 0), data.rfind(b">") + 1
        self.root = _parsed(data, start, end)
        self._first: dict[Name, Part] | None = None

    def text(self, part: Part | None) -> str:
        """The text of a simple property; empty for None."""
        return "" if part is None else self._data[part.value_start : part.value_end].decode("utf-8", "replace").strip()

    def find(self, name: Name) -> Part | None:
        """The first property with a name, or None."""
        if self._first is None:
            self._first = {}
            for part in self.root.below():
                self._first.setdefault(part.name, part)
        return self._first.get(name)

    def set(self, part: Part, value: str) -> None:
        """Set the value of a property. The value must not need escaping. An empty element stays empty."""
        if part.value_start < part.end:
            self._edits.append((part.value_start, part.value_end, value.encode()))

    def remove(self, part: Part) -> None:
        """Remove a property."""
        self._edits.append((part.start, part.end, b""))

    def insert(self, at: int, data: bytes) -> None:
        """Insert bytes at an offset."""
        self._edits.append((at, at, data))

    def alone(self, part: Part) -> bytes:
        """The bytes of an element, with the namespace declarations of the elements around it."""
        declared, owner = dict[str, str](), part.parent
        while owner is not None:
            declared = owner.declared | declared
            owner = owner.parent
        stated = "".join(
            f" xmlns{':' * bool(prefix)}{prefix}={_quoted(uri)}"
            for prefix, uri in declared.items()
            if prefix not in part.declared
        )
        at = part.name_end
        return self._data[part.start : at] + stated.encode() + self._data[at : part.end]

    def changed(self) -> bytes:
        """The packet with all changes. If it becomes longer, padding at its end is removed."""
        pieces, at = list[bytes](), 0
        for start, end, value in sorted(self._edits, key=lambda edit: (edit[0], -edit[1])):
            if start >= at:  # otherwise it is inside a removed part
                pieces += [self._data[at:start], value]
                at = end
        changed = b"".join([*pieces, self._data[at:]])
        return _without_padding(changed, len(changed) - len(self._data))


def _quoted(value: str) -> str:
    quote = "'" if '"' in value else '"'
    return quote + value + quote


def _without_padding(data: bytes, surplus: int) -> bytes:
    trailer = data.rfind(b"<?xpacket end")
    blank = trailer - len(data[:trailer].rstrip()) if trailer > 0 else 0
    cut = min(max(surplus, 0), blank)
    return data[: trailer - cut] + data[trailer:] if cut else data


def _parsed(data: bytes, start: int, end: int) -> Part:
    root = Part(("", ""), start, start, None, end, end)
    state: dict[str, Any] = {"at": root, "depth": 0, "parts": 0}
    parser = expat.ParserCreate("UTF-8")

    def opened(_name: str, attributes: list[str]) -> None:
        parent = state["at"]
        state["depth"] += 1
        state["parts"] += 1 + len(attributes) // 2
        if state["depth"] > _DEEPEST or state["parts"] > _MOST_PARTS:
            raise ValueError("too deep or too many parts")
        state["at"] = _element(data, start + parser.CurrentByteIndex, parent)

    def closed(_name: str) -> None:
        element, at = state["at"], start + parser.CurrentByteIndex
        if not element.end:
            element.value_end, element.end = at, data.index(b">", at) + 1
        state["at"], state["depth"] = element.parent, state["depth"] - 1

    parser.ordered_attributes = True
    parser.StartElementHandler, parser.EndElementHandler = opened, closed
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data[start:end], True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return root


def _refuse(*_: object) -> None:
    raise ValueError("a document type")


def _element(data: bytes, start: int, parent: Part) -> Part:
    """The element whose tag starts at `start`, with its attributes, as a part of `parent`."""
    named = _TAG_NAME.match(data, start)
    if named is None:
        raise ValueError("not UTF-8")
    element = Part(("", ""), start, named.end(), parent, name_end=named.end())
    found, at = [], named.end()
    while (match := _ATTRIBUTE.match(data, at)) is not None:
        at = match.end()
        name = match[1].decode()
        prefix, _, local = name.rpartition(":")
        if "xmlns" in (prefix, name):
            element.declared["" if name == "xmlns" else local] = (match[2] or match[3] or b"").decode(
                "utf-8", "replace"
            )
        else:
            found.append((match, name))
    end = _TAG_END.match(data, at)
    element.value_start = end.end() if end else at
    if data.endswith(b"/>", at, element.value_start):
        element.value_end = element.end = element.value_start
    element.name = _resolved(element, named[0][1:].decode())
    for match, name in found:
        group = 2 if match[2] is not None else 3
        attribute = Part(_resolved(element, name), match.start(), match.start(group), element, match.end())
        attribute.value_end = match.end(group)
        element.parts.append(attribute)
    parent.parts.append(element)
    return element


def _resolved(element: Part, name: str) -> Name:
    prefix, _, local = name.rpartition(":")
    return element.namespace(prefix), local
