"""TIFFs built by hand: any tag with any value, pages chained as given. Independent of the package's own writer."""

import struct

SIZES = {1: ("B", 1), 2: ("B", 1), 3: ("H", 2), 4: ("I", 4), 5: ("II", 8), 7: ("B", 1), 9: ("i", 4), 11: ("f", 4),
         12: ("d", 8), 13: ("I", 4)}  # fmt: skip
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, DOUBLE = 1, 2, 3, 4, 5, 7, 12


def packed(kind, values, order):
    """The stored bytes of values, and their count."""
    if isinstance(values, bytes):
        return values, len(values)
    values = values if isinstance(values, (tuple, list, range)) else (values,)
    code, _ = SIZES[kind]
    per_value = len(code)
    return struct.pack(f"{order}{len(values)}{code[0]}", *values), len(values) // per_value


def page(height, width, data, *, bits=8, photometric=1, samples=1, **tags):
    """The tags of a page with one uncompressed strip; `t123=(type, value)` adds or replaces tag 123."""
    found = {
        256: (LONG, width), 257: (LONG, height), 258: (SHORT, (bits,) * samples), 259: (SHORT, 1),
        262: (SHORT, photometric), 277: (SHORT, samples), 278: (LONG, height), 279: (LONG, len(data)),
    }  # fmt: skip
    found |= {int(name[1:]): value for name, value in tags.items()}
    return found, data


def built(*pages, order="<"):
    """A TIFF of these pages. A tag whose value is a dictionary points to its own directory."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link_at = 4
    for tags, data in pages:
        data_at = len(out)
        out += data + bytes(len(data) % 2)
        stored = {273: (LONG, data_at)} | tags
        for tag, value in stored.items():
            if isinstance(value, dict):
                stored[tag] = LONG, _directory(out, value, order)[0]
        at, next_at = _directory(out, stored, order)
        struct.pack_into(order + "I", out, link_at, at)
        link_at = next_at
    return bytes(out)


def _directory(out, tags, order):
    """Append a directory. Returns its offset and the offset of its link."""
    entries = bytearray()
    for tag in sorted(tags):
        kind, values = tags[tag]
        data, count = packed(kind, values, order)
        if len(data) > 4:
            at = len(out)
            out += data + bytes(len(data) % 2)
            data = struct.pack(order + "I", at)
        entries += struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0")
    at = len(out)
    out += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return at, len(out) - 4
