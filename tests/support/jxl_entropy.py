"""Entropy-coded numbers of a JPEG XL, in each of the ways that the format allows. Source: ISO/IEC 18181-1, C."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import NamedTuple

from support.jxl_ans import ALPHABET_BITS, put_ans_coded
from support.jxl_prefix_codes import put_prefix_coded
from upsample_cli.images.codecs.jxl.bits import BitWriter

_RUN_SYMBOL, _RUN_LENGTH = 224, 3


class Coding(NamedTuple):
    """How numbers are coded: a prefix code or ANS, runs, how contexts get clusters, and the bits of a split."""

    is_prefix: bool
    has_runs: bool = False
    clusters: int = 1
    has_coded_clusters: bool = False
    is_moved: bool = False
    split: tuple[int, int, int] = (0, 0, 0)


def put_numbers(out: BitWriter, numbers: list[tuple[int, int]], contexts: int, coding: Coding, random: Random) -> None:
    """Write numbers, each with its context."""
    out.put(coding.has_runs, 1)
    if coding.has_runs:
        out.put(0, 2 + 2)  # from symbol 224, of 3 numbers and more
        _put_split(out, (0, 0, 0), 8)
        contexts += 1
    cluster_of = [0] * contexts
    if contexts > 1:
        cluster_of = [min(at, coding.clusters - 1) for at in range(contexts)]
        _put_clusters(out, cluster_of, coding, random)
    out.put(coding.is_prefix, 1)
    if not coding.is_prefix:
        out.put(ALPHABET_BITS - 5, 2)
    for _ in range(coding.clusters):
        _put_split(out, coding.split, 15 if coding.is_prefix else ALPHABET_BITS)
    steps = list[tuple[int, int, int, int]]()  # cluster, token, number of bits after it, and the bits
    at = 0
    while at < len(numbers):
        length, distance = _run(numbers, at) if coding.has_runs else (0, 0)
        if length >= _RUN_LENGTH:
            token, *rest = _token(length - _RUN_LENGTH, (0, 0, 0))
            steps.append((cluster_of[numbers[at][0]], _RUN_SYMBOL + token, *rest))
            steps.append((cluster_of[-1], *_token(distance - 1, coding.split)))
        else:
            length = 1
            steps.append((cluster_of[numbers[at][0]], *_token(numbers[at][1], coding.split)))
        at += length
    used = [Counter(token for cluster, token, *_ in steps if cluster == one) for one in range(coding.clusters)]
    (put_prefix_coded if coding.is_prefix else put_ans_coded)(out, steps, used, random)


def _run(numbers: list[tuple[int, int]], at: int) -> tuple[int, int]:
    """The longest run from 1 or 12 numbers before, and how far that is."""
    found = (0, 0)
    for distance in (1, 12):
        length = 0
        while (
            distance <= at
            and at + length < len(numbers)
            and numbers[at + length][1] == numbers[at + length - distance][1]
        ):
            length += 1
        found = max(found, (length, distance))
    return found


def _token(number: int, split: tuple[int, int, int]) -> tuple[int, int, int]:
    exponent, high, low = split
    if number < 1 << exponent:
        return number, 0, 0
    top = number.bit_length() - 1
    rest, count = number - (1 << top), top - high - low
    token = (1 << exponent) + (top - exponent << high + low) + (rest >> top - high << low) + (rest & (1 << low) - 1)
    return token, count, rest >> low & (1 << count) - 1


def _put_split(out: BitWriter, split: tuple[int, int, int], alphabet_bits: int) -> None:
    exponent, high, low = split
    out.put(exponent, alphabet_bits.bit_length())
    out.put(high, exponent.bit_length())
    out.put(low, (exponent - high).bit_length())


def _put_clusters(out: BitWriter, cluster_of: list[int], coding: Coding, random: Random) -> None:
    out.put(not coding.has_coded_clusters, 1)
    if not coding.has_coded_clusters:
        width = (coding.clusters - 1).bit_length()
        out.put(width, 2)
        for cluster in cluster_of:
            out.put(cluster, width)
        return
    out.put(coding.is_moved, 1)
    order, places = list(range(256)), list[int]()
    for cluster in cluster_of:
        places.append(order.index(cluster))
        if coding.is_moved:
            order.insert(0, order.pop(places[-1]))
    put_numbers(out, [(0, place) for place in places], 1, Coding(coding.is_prefix, coding.has_runs), random)
