"""Write the ICC profile in a JPEG XL codestream; `profile` reads it."""

from __future__ import annotations

from upsample_cli.images.codecs.jxl.bits import BitWriter
from upsample_cli.images.codecs.jxl.prefix import LENGTH_ORDER
from upsample_cli.images.codecs.jxl.profile import HEAD_BYTES, INSERT, predicted_head


def put_profile(out: BitWriter, profile: bytes) -> None:
    """Write a profile. Every byte takes a byte: the code has 256 symbols of 8 bits."""
    coded = predicted(profile)
    out.long(len(coded))
    out.put(0, 1)  # no runs
    out.put(0b001, 3)  # all contexts use the first code
    out.put(1, 1)  # prefix codes
    out.put(15, 4)  # tokens are numbers
    out.put(1, 1)  # 256 symbols: 1 + 1 + 2**7 + 126
    out.put(7, 4)
    out.put(127, 7)
    out.put(0, 2)  # the lengths of all codes of lengths: only the length 8 occurs
    for length in LENGTH_ORDER:
        out.put(length == 8, 2)
    for byte in coded:
        out.put(int(f"{byte:08b}"[::-1], 2), 8)


def predicted(profile: bytes) -> bytes:
    """The profile as predictions, commands and the differences from them."""
    head = bytes(byte - predicted_head(profile, len(profile), at) & 255 for at, byte in enumerate(profile[:HEAD_BYTES]))
    rest = profile[HEAD_BYTES:]
    commands = b"\0" + bytes([INSERT]) + varint(len(rest)) if rest else b""
    return varint(len(profile)) + varint(len(commands)) + commands + head + rest


def varint(number: int) -> bytes:
    """A number of 7 bits per byte, the lowest first."""
    made = bytearray()
    while number >= 128:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])
