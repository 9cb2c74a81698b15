"""Numbers of JPEG XL headers in all their codes. libjxl judges what is written: it decodes the pixels behind them."""

import itertools
from random import Random

import imagecodecs
import pytest
from support.jxl_data import PIXELS, PROFILE
from support.jxl_entropy import Coding, put_numbers

from upsample_cli.images.codecs.jxl.bits import BitReader, BitWriter
from upsample_cli.images.codecs.jxl.codestream import read_header
from upsample_cli.images.codecs.jxl.look import look_at
from upsample_cli.images.codecs.jxl.profile import _KINDS, _KINDS_BEFORE, read_profile
from upsample_cli.images.codecs.jxl.put_profile import predicted, varint

HEADER = read_header(PROFILE)
LOOK = look_at(PROFILE, HEADER)
ICC = LOOK.profile


def contexts_of(data):
    context, before, last = 0, 0, 0
    for at, byte in enumerate(data):
        context = 0 if at <= 128 else 1 + _KINDS[last] + 8 * _KINDS_BEFORE[before]
        before, last = last, byte
        yield context, byte


def with_code(coded, coding, seed):
    """A file whose profile is coded in another way, and where its frames start."""
    out = BitWriter()
    out.copy(PROFILE, 0, HEADER.end)
    out.long(len(coded))
    put_numbers(out, list(contexts_of(coded)), 41, coding, Random(seed))
    return out.bytes() + PROFILE[LOOK.frames_at :], len(out.bytes())


def libjxl_reads(data):
    try:
        return (imagecodecs.jpegxl_decode(data) == PIXELS).all()
    except RuntimeError:
        return False


CODINGS = [
    Coding(is_prefix, has_runs, clusters, has_coded_clusters, is_moved, split)
    for is_prefix, has_runs, (clusters, has_coded_clusters, is_moved), split in itertools.product(
        (True, False),
        (True, False),
        ((1, False, False), (3, False, False), (8, False, False), (5, True, False), (30, True, True)),
        ((0, 0, 0), (4, 1, 2), (7, 0, 1)),
    )
]


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_a_profile_in_any_code_is_read(coding):
    for seed, profile in enumerate((ICC, ICC[:150])):
        data, frames_at = with_code(predicted(profile), coding, seed)
        assert libjxl_reads(data)
        bits = BitReader(data, HEADER.end)
        assert read_profile(bits) == profile
        assert bits.at + 7 >> 3 == frames_at


def test_what_libjxl_accepts_is_accepted():
    """One bit of each file is wrong. libjxl decodes the pixels too, and cuts numbers to 32 bits."""
    random, outcomes = Random(5), set()
    for seed, coding in enumerate(CODINGS):
        data, frames_at = with_code(predicted(ICC[:150]), coding, seed)
        for _ in range(12):
            bad, at = bytearray(data), random.randrange(HEADER.end, 8 * frames_at)
            bad[at >> 3] ^= 1 << (at & 7)
            try:
                read_profile(BitReader(bytes(bad), HEADER.end))
                outcome = "read"
            except ValueError as error:
                outcome = "too large" if "32 bits" in str(error) else "refused"
            outcomes.add((outcome, bool(libjxl_reads(bytes(bad)))))
    assert {("read", True), ("read", False), ("refused", False)} <= outcomes
    assert ("refused", True) not in outcomes


HEAD = predicted(ICC[:128])[3:]


@pytest.mark.parametrize(("size", "commands", "rest", "fault"), [
    (8, b"\0\1\x08", 8, None),
    (12, b"\1\0\1\x08", 8, None),
    (8, b"\0\1\xff\xff\xff\xff\xff\1", 8, "more than 32 bits"),
    (8, b"\0\1\x09", 8, "Truncated"),
    (7, b"\0\1\x08", 8, "another size"),
    (9, b"\0\1\x08", 8, "another size"),
    (8, b"\0\1\x08", 9, "another size"),
    (8, b"\0\5\x08", 8, "no such command"),
    (16, b"\2\xd4\0\0\0", 0, None),
    (16, b"\2\xd5\0\0\0", 0, "no such tag"),
    (40, b"\4\x43\x64\0", 0, None),
    (40, b"\4\xc3\xff\xff\xff\xff\x0f\x14\0", 0, "outside"),
    (8, b"\0\4\x02\x08", 8, "prediction"),
    (8, b"\0\4\x0c\x08", 8, "prediction"),
    (8, b"\0\4\x11\1\x08", 8, "prediction"),
    (8, b"\0\4\x10\x20\x08", 8, "prediction"),
    (8, b"\0\4\x10\x1f\x08", 8, None),
    (7, b"\0\4\0\x08", 8, "another size"),
    (7, b"\0\4\x0b\7", 7, None),
    (7, b"\0\3\7", 7, None),
    (20, b"\0\x0a", 12, None),
    (8, b"\0\x17", 0, None),
    (8, b"\0\x18", 0, "no such command"),
])  # fmt: skip
def test_commands_are_refused_as_by_libjxl(size, commands, rest, fault):
    coded = varint(128 + size) + varint(len(commands)) + commands + HEAD + bytes(rest)
    data, _ = with_code(coded, CODINGS[0], 0)
    assert libjxl_reads(data) == (fault is None)
    bits = BitReader(data, HEADER.end)
    if fault is None:
        assert len(read_profile(bits)) == 128 + size
    else:
        with pytest.raises(ValueError, match=fault):
            read_profile(bits)
