"""The ICC profile in a JPEG XL codestream, which predicts its bytes. Source: ISO/IEC 18181-1, annex E.4."""

from __future__ import annotations

from collections.abc import Iterator

from upsample_cli.images.codecs.jxl.bits import BitReader
from upsample_cli.images.codecs.jxl.entropy import EntropyReader

MAX_BYTES = 1 << 20
"""The most bytes of a profile that is read. Reading it takes 1 to 4 µs a byte."""

HEAD_BYTES, _CONTEXTS = 128, 41
_TAGS = (
    b"cprt", b"wtpt", b"bkpt", b"rXYZ", b"gXYZ", b"bXYZ", b"kXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"chad", b"desc",
    b"chrm", b"dmnd", b"dmdd", b"lumi",
)  # fmt: skip
_TYPES = (b"XYZ ", b"desc", b"text", b"mluc", b"para", b"curv", b"sf32", b"gbd ")
_OF_20_BYTES = {b"rXYZ", b"gXYZ", b"bXYZ", b"kXYZ", b"wtpt", b"bkpt", b"lumi"}
_TAG, _CURVES, _COLORANTS, _FIRST_TAG = 1, 2, 3, 4
_HAS_OFFSET, _HAS_SIZE = 64, 128
_ANOTHER_SIZE = "a profile of another size than announced"
INSERT, _SHUFFLE_2, _SHUFFLE_4, _PREDICT, _XYZ, _FIRST_TYPE = 1, 2, 3, 4, 10, 16


class ProfileSizeError(ValueError):
    """The profile is larger than `MAX_BYTES`."""


def read_profile(bits: BitReader) -> bytes:
    """Read the profile at the position of `bits`, and move it behind the profile.

    Raises:
        ProfileSizeError: the profile is too large.
        ValueError: the profile is damaged.
    """
    size = bits.long()
    if size > MAX_BYTES:
        raise ProfileSizeError("a profile that is too large")
    numbers, coded = EntropyReader(bits, _CONTEXTS), bytearray()
    before, last = 0, 0
    for at in range(size):
        context = 0 if at <= HEAD_BYTES else 1 + _KINDS[last] + 8 * _KINDS_BEFORE[before]
        before, last = last, numbers.read(context)
        coded.append(last)  # raises ValueError if it is not a byte
    numbers.check_end()
    return _Decoder(bytes(coded)).profile()


def _kind(byte: int, *, is_last: bool) -> int:
    if chr(byte).isascii() and chr(byte).isalpha():
        return 0
    if chr(byte) in "0123456789.,":
        return 1
    if is_last:
        return 2 if byte == 0 else 3 if byte == 1 else 4 if byte < 16 else 6 if byte == 255 else 5 if byte > 240 else 7
    return 2 if byte < 16 else 3 if byte > 240 else 4


_KINDS = [_kind(byte, is_last=True) for byte in range(256)]
_KINDS_BEFORE = [_kind(byte, is_last=False) for byte in range(256)]


class _Stream:
    """A part of the coded profile."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError("Truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        """A number of 7 bits per byte, the lowest first."""
        found = 0
        for shift in range(0, 35, 7):
            byte = self.take(1)[0]
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise ValueError("a number of more than 32 bits")

    @property
    def is_at_end(self) -> bool:
        return self.at == len(self.data)


class _Decoder:
    """Carries out the commands of a coded profile."""

    def __init__(self, coded: bytes) -> None:
        whole = _Stream(coded)
        self._size = whole.number()
        if self._size > MAX_BYTES:
            raise ProfileSizeError("a profile that is too large")
        self._commands = _Stream(whole.take(whole.number()))
        self._bytes = _Stream(whole.take(len(coded) - whole.at))
        self._made = bytearray()

    def profile(self) -> bytes:
        self._head()
        if len(self._made) < self._size:
            for piece in self._tags():
                self._add(piece)
            while not self._commands.is_at_end:
                if (command := self._commands.take(1)[0]) == _PREDICT:
                    self._add_predicted()
                else:
                    self._add(self._content(command))
        if len(self._made) != self._size or not self._bytes.is_at_end or not self._commands.is_at_end:
            raise ValueError(_ANOTHER_SIZE)
        return bytes(self._made)

    def _add(self, piece: bytes) -> None:
        self._made += piece
        if len(self._made) > self._size:
            raise ValueError(_ANOTHER_SIZE)

    def _head(self) -> None:
        for at in range(min(HEAD_BYTES, self._size)):
            self._made.append(self._bytes.take(1)[0] + predicted_head(self._made, self._size, at) & 255)

    def _tags(self) -> Iterator[bytes]:
        commands = self._commands
        count = commands.number() - 1
        if count < 0:
            return
        yield count.to_bytes(4, "big")
        start, size = HEAD_BYTES + 12 * count, 0
        while not commands.is_at_end and (kind := (command := commands.take(1)[0]) & 63):
            tag = self._bytes.take(4) if kind == _TAG else _tag_of(kind)
            following, size = start + size, 20 if tag in _OF_20_BYTES else size
            start = commands.number() if command & _HAS_OFFSET else following
            size = commands.number() if command & _HAS_SIZE else size
            others = {_CURVES: (b"gTRC", b"bTRC"), _COLORANTS: (b"gXYZ", b"bXYZ")}.get(kind, ())
            step = size if kind == _COLORANTS else 0
            for index, name in enumerate((tag, *others)):
                if start + index * step >= 1 << 32:
                    raise ValueError("a tag outside the profile")
                yield name + (start + index * step).to_bytes(4, "big") + size.to_bytes(4, "big")

    def _content(self, command: int) -> bytes:
        commands, stored = self._commands, self._bytes
        if command == INSERT:
            return stored.take(commands.number())
        if command in {_SHUFFLE_2, _SHUFFLE_4}:
            return _unshuffled(stored.take(commands.number()), 2 if command == _SHUFFLE_2 else 4)
        if command == _XYZ:
            return _TYPES[0] + bytes(4) + stored.take(12)
        if _FIRST_TYPE <= command < _FIRST_TYPE + len(_TYPES):
            return _TYPES[command - _FIRST_TYPE] + bytes(4)
        raise ValueError("no such command")

    def _add_predicted(self) -> None:
        """Numbers of 1, 2 or 4 bytes that are predicted from up to three numbers before.

        They are added in place: a copy of what precedes them would make the time quadratic.
        """
        flags = self._commands.take(1)[0]
        width, order = (flags & 3) + 1, flags >> 2 & 3
        stride = self._commands.number() if flags & 16 else width
        if width == 3 or order == 3 or stride < width or len(self._made) <= 4 * stride:
            raise ValueError("a prediction that makes no sense")
        stored = _unshuffled(self._bytes.take(self._commands.number()), width)
        made, start = self._made, len(self._made)
        if start + len(stored) > self._size:
            raise ValueError(_ANOTHER_SIZE)
        for at in range(start, start + len(stored), width):
            back = [at - times * stride for times in (1, 2, 3)]
            first, second, third = (int.from_bytes(made[place : place + width], "big") for place in back)
            number = (first, 2 * first - second, 3 * first - 3 * second + third)[order] % (1 << 8 * width)
            guess, piece = number.to_bytes(width, "big"), stored[at - start : at - start + width]
            made += bytes((a + b) & 255 for a, b in zip(guess, piece, strict=False))


def _tag_of(kind: int) -> bytes:
    if kind in {_CURVES, _COLORANTS}:
        return b"rTRC" if kind == _CURVES else b"rXYZ"
    if kind - _FIRST_TAG >= len(_TAGS):
        raise ValueError("no such tag")
    return _TAGS[kind - _FIRST_TAG]


def _unshuffled(data: bytes, width: int) -> bytes:
    """Undo a transposition: the first bytes of all numbers are stored first, then the second ones."""
    height, made = -(-len(data) // width), bytearray(len(data))
    at = 0
    for first in range(height):
        taken = data[first::height]
        made[at : at + len(taken)] = taken
        at += len(taken)
    return bytes(made)


_USUAL_HEAD = bytearray(HEAD_BYTES)
_USUAL_HEAD[8], _USUAL_HEAD[12:24], _USUAL_HEAD[36:40] = 4, b"mntrRGB XYZ ", b"acsp"
_USUAL_HEAD[70:72], _USUAL_HEAD[73], _USUAL_HEAD[78:80] = b"\xf6\xd6", 1, b"\xd3\x2d"
_PLATFORMS = ((b"APPL", 1), (b"MSFT", 1), (b"SGI ", 2), (b"SUNW", 2))
"""Signatures of platforms, and the number of their bytes from which the others follow."""


def predicted_head(made: bytes | bytearray, size: int, at: int) -> int:
    """The byte that is expected in the header of a profile.

    Args:
        made: the bytes before it.
        size: size of the profile.
        at: index of the byte.
    """
    if at < 4:
        return size.to_bytes(4, "big")[at]
    if 80 <= at < 84:
        return made[4 + at - 80]
    for platform, known in _PLATFORMS:
        if 40 + known <= at < 44 and made[40 : 40 + known] == platform[:known]:
            return platform[at - 40]
    return _USUAL_HEAD[at]
