"""Exif blocks corrected in place. The blocks are built here byte by byte and read by Pillow."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from upsample_cli.images.metadata.change import Change
from upsample_cli.images.metadata.exif import (
    exif_for_output,
    has_maker_note,
    orientation,
    with_resolution,
    without_orientation,
    without_prefix,
)
from upsample_cli.images.metadata.exif_density import resolution
from upsample_cli.images.metadata.exif_from_tiff import exif_of_tiff
from upsample_cli.images.open import read_header

MAKER_NOTE = b"ACME\0\x01 absolute offsets in here"
THUMBNAIL = b"\xff\xd8stale thumbnail\xff\xd9"
SHORT, LONG, ASCII, RATIONAL, UNDEFINED = 3, 4, 2, 5, 7

SAME = Change(1, 42, 74, 42, 74)


def directory(order, entries, next_at=0):
    """A directory whose values are stored in its entries, or are offsets in them."""
    table = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        packed = (
            struct.pack(order + "HH", value, 0) if kind == SHORT and count == 1 else struct.pack(order + "I", value)
        )
        table += struct.pack(order + "HHI", tag, kind, count) + packed
    return table + struct.pack(order + "I", next_at)


def block(order="<", *, turn=6, thumbnail_last=True, size_kind=LONG, thumbnail_at=None):
    """A block as a camera writes it: two directories, Exif, a maker note, a thumbnail, and some unreferenced bytes.

    Returns the block with the positions of the maker note and the thumbnail.
    """
    first_at, exif_at, gps_at = 8, 100, 200
    make_at, note_at, unknown_at, second_at = 260, 280, 330, 350
    image_at = 420 if thumbnail_last else 64
    data = bytearray(b"\xee" * 420)
    data[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first_at)
    first = directory(
        order,
        [(0x010F, ASCII, 9, make_at), (0x0112, SHORT, 1, turn), (0x8769, LONG, 1, exif_at), (0x8825, LONG, 1, gps_at)],
        second_at,
    )
    exif = directory(
        order,
        [(0x927C, UNDEFINED, len(MAKER_NOTE), note_at), (0xA002, size_kind, 1, 37), (0xA003, size_kind, 1, 21)],
    )
    gps = directory(order, [(0x001D, ASCII, 4, int.from_bytes(b"N\0\0\0", "little" if order == "<" else "big"))])
    shown_at = image_at if thumbnail_at is None else thumbnail_at
    second = directory(order, [(0x0201, LONG, 1, shown_at), (0x0202, LONG, 1, len(THUMBNAIL))])
    for at, piece in (
        (first_at, first),
        (exif_at, exif),
        (gps_at, gps),
        (make_at, b"ACME Inc\0"),
        (note_at, MAKER_NOTE),
        (unknown_at, b"nobody points"),
        (second_at, second),
    ):
        data[at : at + len(piece)] = piece
    if thumbnail_last:
        data += THUMBNAIL
    else:
        data[image_at : image_at + len(THUMBNAIL)] = THUMBNAIL
    return bytes(data)


def loaded(exif):
    result = Image.Exif()
    result.load(exif)
    return result


def changed_places(before, after):
    """Runs of bytes that differ, as (start, end)."""
    places, at = [], 0
    while at < min(len(before), len(after)):
        if before[at] != after[at]:
            end = at
            while end < min(len(before), len(after)) and before[end] != after[end]:
                end += 1
            places.append((at, end))
            at = end
        at += 1
    return places


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size_kind", [SHORT, LONG])
def test_sizes_and_orientation_are_corrected_and_the_thumbnail_is_removed(order, size_kind):
    before = block(order, size_kind=size_kind)
    exif = loaded(exif_for_output(before, SAME))
    assert exif[0x0112] == 1
    assert exif[0x010F] == "ACME Inc"
    below = exif.get_ifd(0x8769)
    assert (below[0xA002], below[0xA003], below[0x927C]) == (74, 42, MAKER_NOTE)
    assert exif.get_ifd(0x8825)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert THUMBNAIL in before
    assert loaded(before).get_ifd(ExifTags.IFD.IFD1)  # the control: the thumbnail was there


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_other_byte_keeps_its_position(order):
    before = block(order)
    after = exif_for_output(before, SAME)
    assert before.index(MAKER_NOTE) == after.index(MAKER_NOTE)
    allowed = [
        (10 + 12 + 8, 10 + 12 + 12),  # the value of the orientation
        (10 + 4 * 12, 10 + 4 * 12 + 4),  # the pointer to the second directory
        (102 + 12 + 8, 102 + 12 + 12),  # the two sizes
        (102 + 24 + 8, 102 + 24 + 12),
        (350, 350 + 2 + 24 + 4),  # the second directory
    ]
    places = changed_places(before, after)
    assert len(places) >= len(allowed)
    assert all(any(start <= a and b <= end for start, end in allowed) for a, b in places)
    assert len(after) == len(before) - len(THUMBNAIL)


def test_pillow_would_move_the_maker_note():
    """Negative control: Pillow's own writer moves the maker note, which the assertion above would detect."""
    before = block()
    rewritten = without_prefix(loaded(before).tobytes())
    assert rewritten.index(MAKER_NOTE) != before.index(MAKER_NOTE)


def test_a_thumbnail_in_the_middle_is_zeroed():
    before = block(thumbnail_last=False)
    after = exif_for_output(before, SAME)
    assert len(after) == len(before)
    assert after[64 : 64 + len(THUMBNAIL)] == bytes(len(THUMBNAIL))


@pytest.mark.parametrize("at", [0, 8, 100, 270, 2**32 - 1])
def test_a_thumbnail_that_claims_to_overlap_other_data_destroys_nothing(at):
    before = block(thumbnail_at=at)
    after = loaded(exif_for_output(before, SAME))
    assert after[0x010F] == "ACME Inc"
    assert after.get_ifd(0x8769)[0x927C] == MAKER_NOTE


def test_a_size_beyond_16_bits_changes_a_short_to_a_long_in_place():
    after = exif_for_output(block(size_kind=SHORT), Change(1, 65_535, 65_536, 65_535, 65_536))
    below = loaded(after).get_ifd(0x8769)
    assert (below[0xA002], below[0xA003]) == (65_536, 65_535)
    assert len(after) == len(block(size_kind=SHORT)) - len(THUMBNAIL)


@pytest.mark.parametrize("turn", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_only_valid_orientations_are_read(turn):
    assert orientation(block(turn=turn)) == (turn if 1 <= turn <= 8 else None)


def test_correcting_a_block_twice_equals_correcting_it_once():
    once = exif_for_output(block(), SAME)
    assert exif_for_output(once, SAME) == once


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"Exif\0\0", b"II*\0\xff\xff\0\0", b"II+\0\x08\0\0\0" + bytes(20), b"no"]
)
def test_a_damaged_block_is_refused_and_has_no_orientation(exif):
    with pytest.raises(ValueError, match=r"."):
        exif_for_output(exif, SAME)
    assert orientation(exif) is None
    assert resolution(exif) is None
    assert not has_maker_note(exif)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(
    flips=st.lists(st.tuples(st.integers(0, 440), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 440),
    order=st.sampled_from("<>"),
)
def test_damaged_blocks_are_processed_in_bounded_time_and_never_grow(flips, cut, order):
    data = bytearray(block(order)[:cut])
    for at, value in flips:
        if at < len(data):
            data[at] = value
    try:
        after = exif_for_output(bytes(data), SAME)
    except ValueError:
        return
    assert len(after) <= len(data)
    assert exif_for_output(after, SAME) == after


@settings(deadline=None, max_examples=300, derandomize=True)
@given(
    flips=st.lists(st.tuples(st.integers(0, 310), st.integers(0, 255)), max_size=12),
    order=st.sampled_from("<>"),
    turn=st.integers(1, 8),
)
def test_corrected_positions_never_break_the_block(flips, order, turn):
    data = bytearray(measured(order, (20, 10, 8, 4)))
    for at, value in flips:
        data[at] = value
    try:
        after = exif_for_output(bytes(data), Change(turn, 40, 80, 5000, 9000))
    except ValueError:
        return
    assert orientation(after) in {1, None}
    exif_for_output(after, SAME)


@pytest.mark.parametrize("at", [0, 4, 8, 30, 80, 90, 200])
def test_values_that_overlap_a_directory_are_not_changed(at):
    before = bytearray(measured("<", (20, 10, 8, 4)))
    for tag in (0xA20E, 0x011A):
        entry = before.index(struct.pack("<HHI", tag, 5, 1))
        struct.pack_into("<I", before, entry + 8, at)
    after = exif_for_output(bytes(before), Change(6, 40, 80, 160, 80))
    assert loaded(after).get_ifd(0x8769)[0x9214] == (60, 40, 8, 16)
    assert orientation(after) == 1


def test_directories_in_a_loop_end():
    around = b"II*\0\x08\0\0\0" + directory("<", [(0x8769, LONG, 1, 8), (0xA005, LONG, 1, 8), (0x0112, SHORT, 1, 3)], 8)
    assert orientation(exif_for_output(around, SAME)) == 1
    assert exif_of_tiff(io.BytesIO(around)) is not None


@pytest.mark.parametrize("count", [4097, 2**31, 2**63, 2**64 - 1])
def test_a_directory_that_claims_a_huge_count_is_refused_at_once(count):
    data = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count) + bytes(100)
    with pytest.raises(ValueError, match=f"a directory of {count} entries"):
        exif_of_tiff(io.BytesIO(data))


def test_only_the_orientation_can_be_removed():
    before = block()
    after = without_orientation(before)
    assert len(after) == len(before)
    exif = loaded(after)
    assert 0x0112 not in exif
    assert exif[0x010F] == "ACME Inc"
    assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert exif.get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(THUMBNAIL)
    assert after.index(MAKER_NOTE) == before.index(MAKER_NOTE)
    assert without_orientation(after) == after


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dpi", [(300, 299.5), (72, 0.25), (1e6, 1 / 3)])
def test_a_resolution_is_added_without_moving_anything(order, dpi):
    before = block(order)
    after = with_resolution(before, dpi)
    assert after[8 : len(before)] == before[8:]
    exif = loaded(after)
    assert (float(exif[0x011A]), float(exif[0x011B])) == pytest.approx(dpi, rel=1e-6)  # rounded to 31 bits
    assert exif[0x0128] == 2
    assert exif[0x010F] == "ACME Inc"
    assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert exif.get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(THUMBNAIL)
    assert resolution(after) == pytest.approx(dpi, rel=1e-6)
    assert resolution(with_resolution(after, (50, 60))) == (50, 60)


@pytest.mark.parametrize(("unit", "expected"), [(2, 100.0), (3, 254.0), (1, None)])
def test_a_resolution_is_converted_by_its_unit(unit, expected):
    exif = Image.Exif()
    exif[0x011A] = exif[0x011B] = 100.0
    exif[0x0128] = unit
    found = resolution(without_prefix(exif.tobytes()))
    assert found == (None if expected is None else pytest.approx((expected, expected)))


def test_a_block_from_a_tiff_has_its_descriptive_tags_and_no_structural_ones():
    exif = Image.Exif()
    exif[0x010F], exif[0x010E], exif[0x9C9B] = "ACME", "what", "title".encode("utf-16-le")
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x927C: MAKER_NOTE, 0xA005: {1: "R98"}}
    exif[0x8825] = {1: "N"}
    exif[0x0100], exif[0x0101], exif[0x0112], exif[0x011A], exif[0x8773] = 7, 5, 6, 300.0, b"profile"
    made = exif_of_tiff(io.BytesIO(without_prefix(exif.tobytes())))  # a block is a TIFF without pixels
    assert has_maker_note(made)
    found = loaded(made)
    assert set(found) == {0x010F, 0x010E, 0x9C9B, 0x8769, 0x8825}
    assert found[0x010E] == "what"
    assert found.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert found.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert found.get_ifd(0xA005) == {1: "R98"}
    assert found.get_ifd(0x8825) == {1: "N"}


def test_a_tiff_without_descriptive_tags_gives_no_block():
    file = io.BytesIO()
    Image.new("L", (7, 5)).save(file, "TIFF")
    assert exif_of_tiff(file) is None


def test_text_keeps_its_bytes_in_any_encoding():
    """UTF-8 in an ASCII field is common, and Pillow would write question marks."""
    name = "Zoë\0".encode()
    entries = [(0x013B, ASCII, len(name), 26), (0x0100, SHORT, 1, 7)]
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + directory("<", entries[:1])[2:] + name
    assert name in exif_of_tiff(io.BytesIO(data))
    exif = Image.Exif()
    exif[0x013B] = "Zoë"
    assert name not in exif.tobytes()  # the control


def measured(order, subject, kind=SHORT):
    """A block that states a subject area, densities and the size of a related image."""
    exif_at, related_at, values_at = 80, 200, 250
    codes = {SHORT: "H", LONG: "I"}
    place = struct.pack(f"{order}{len(subject)}{codes[kind]}", *subject)
    inline = len(place) <= 4
    place_at = values_at + 32
    first = directory(
        order,
        [(0x0112, SHORT, 1, 6), (0x011A, 5, 1, values_at), (0x011B, 5, 1, values_at + 8), (0x8769, LONG, 1, exif_at)],
        0,
    )
    exif = directory(
        order,
        [
            (0xA005, LONG, 1, related_at),
            (0xA20E, 5, 1, values_at + 16),
            (0xA20F, 5, 1, values_at + 24),
            (0xA214 if len(subject) == 2 else 0x9214, kind, len(subject), place_at),
        ],
        0,
    )
    related = directory(order, [(0x1001, LONG, 1, 80), (0x1002, LONG, 1, 40)], 0)
    data = bytearray(place_at + 32)
    data[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    if inline:
        exif = exif.replace(struct.pack(order + "I", place_at), place)
    for at, piece in (
        (8, first),
        (exif_at, exif),
        (related_at, related),
        (values_at, struct.pack(order + "8I", 300, 1, 150, 1, 1000, 3, 500, 1)),
        (place_at, b"" if inline else place),
    ):
        data[at : at + len(piece)] = piece
    return bytes(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("subject", "expected"),
    [((20, 10), (60, 40)), ((20, 10, 8), (60, 40, 16)), ((20, 10, 8, 4), (60, 40, 8, 16)), ((79, 0), (79, 158))],
)
def test_subject_areas_and_densities_are_turned_and_scaled(order, subject, expected):
    exif = loaded(exif_for_output(measured(order, subject), Change(6, 40, 80, 160, 80)))
    assert (exif[0x011A], exif[0x011B]) == (150, 300)
    below = exif.get_ifd(0x8769)
    assert below[0xA214 if len(subject) == 2 else 0x9214] == expected
    assert (float(below[0xA20E]), float(below[0xA20F])) == pytest.approx((1000, 2000 / 3))
    assert exif.get_ifd(0xA005) == {0x1001: 80, 0x1002: 160}


def test_a_subject_area_beyond_16_bits_is_stored_after_the_block():
    before = measured("<", (20, 10, 8, 4))
    after = exif_for_output(before, Change(1, 40, 80, 40 * 2000, 80 * 2000))
    assert loaded(after).get_ifd(0x8769)[0x9214] == (40_000, 20_000, 16_000, 8_000)
    after = exif_for_output(before, Change(1, 40, 80, 40 * 4000, 80 * 4000))
    assert loaded(after).get_ifd(0x8769)[0x9214] == (80_000, 40_000, 32_000, 16_000)
    assert len(after) == len(before) + 16


def test_a_subject_area_outside_the_image_is_unchanged():
    before = measured("<", (1136, 852, 280, 280))
    after = loaded(exif_for_output(before, Change(6, 40, 80, 160, 80)))
    assert after.get_ifd(0x8769)[0x9214] == (1136, 852, 280, 280)


def test_a_related_image_of_another_size_keeps_its_size():
    after = loaded(exif_for_output(measured("<", (1, 2)), Change(1, 41, 81, 82, 162)))
    assert after.get_ifd(0xA005) == {0x1001: 80, 0x1002: 40}


def with_coefficients(order, *parts):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + directory(order, [(0x0211, RATIONAL, 3, 26)], 0) + struct.pack(order + "6I", *parts)


@pytest.mark.parametrize("order", ["<", ">"])
def test_unusual_ycbcr_coefficients_are_reported_and_corrected(order):
    odd, usual = (with_coefficients(order, *parts) for parts in ((2126, 10000, 7152, 10000, 722, 10000),
                                                                 (299, 1000, 587, 1000, 114, 1000)))  # fmt: skip
    assert exif_for_output(odd, SAME) == exif_for_output(usual, SAME) == usual
    for exif, losses in ((odd, 1), (usual, 0), (with_coefficients(order, 1, 0, 1, 0, 1, 0), 1)):
        file = io.BytesIO()
        Image.new("RGB", (9, 9)).save(file, "JPEG", exif=b"Exif\0\0" + exif)
        assert [loss.kind for loss in read_header(file)[0].losses] == ["colour"] * losses
