"""Check files of torch.save before torch reads them. Torch is not imported.

A few kilobytes of zip can unpack to gigabytes. If the zip directory is not where torch writes it, this module and torch
could read two different archives.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from upsample_cli.kernels.weights.pickle_bounds import Budget, check_pickle

MOST_UNPACKED = 2**28
"""How many bytes the records may be larger than the file. torch.save does not compress."""

_MOST_PICKLED, _MOST_RECORDS = 2**26, 2**17
_FIRST, _END, _LOCATOR = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56
_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number, without the protocol, at the start of files from torch before 1.6."""
_PICKLES_BEFORE_STORAGES = 5


def check_torch_file(path: Path) -> bool:
    """Refuse a file that would take far more memory or time than its size suggests.

    Returns:
        Whether the records can be memory-mapped.

    Raises:
        ValueError: if the file would take far more; the message gives the cause.
        pickle.UnpicklingError: if a pickle calls a function that tensors do not need.
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(2 + len(_MAGIC))
        file.seek(0)
        if begin.startswith(_FIRST):
            return _check_archive(file)
        if not begin.endswith(_MAGIC):
            raise ValueError("it is not a file of torch.save")
        budget = Budget()
        for _ in range(_PICKLES_BEFORE_STORAGES):
            check_pickle(file, budget)
        return False


def _check_archive(file: IO[bytes]) -> bool:
    size = file.seek(0, 2)
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        names = {record.orig_filename.lower() for record in records}  # torch ignores the case
        if len(names) < len(records):
            raise ValueError("two of its records have the same name")  # torch may read the other one
        if any(name.endswith("/constants.pkl") for name in names):
            raise ValueError("it is a program of TorchScript; save model.state_dict() and give that")
        if sum(record.file_size for record in records) > size + MOST_UNPACKED:
            raise ValueError(f"its records are more than {MOST_UNPACKED >> 20} MiB larger than the file")
        budget = Budget()
        for record in records:
            if record.orig_filename.lower().endswith("/data.pkl"):
                if record.file_size > _MOST_PICKLED:
                    raise ValueError(f"its pickle has more than {_MOST_PICKLED >> 20} MiB")
                check_pickle(io.BytesIO(_content(file, record)), budget)
        return not any(record.compress_type for record in records)


def _content(file: IO[bytes], record: zipfile.ZipInfo) -> bytes:
    """The bytes of a record. zipfile would refuse records without checksums, which torch.save can write."""
    file.seek(record.header_offset + 26)
    file.seek(sum(_numbers(file.read(4), (0, 2), (2, 2))), 1)
    content = file.read(record.compress_size)
    if record.compress_type:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, record.file_size)
    if record.compress_size != record.file_size:
        raise ValueError("its pickle has two sizes")
    return content


def _check_directory(file: IO[bytes], size: int) -> None:
    """Refuse an archive unless its directory is at the end of the file, where zipfile and torch both find it."""
    file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
    tail = file.read()
    locator, end = tail[:-_END_BYTES], tail[-_END_BYTES:]
    ends, (count, length, start) = size - _END_BYTES, _numbers(end, (10, 2), (12, 4), (16, 4))
    if locator.startswith(_LOCATOR):
        ends -= _LOCATOR_BYTES + _END64_BYTES
        file.seek(max(0, ends))
        count, length, start = _numbers(file.read(_END64_BYTES), (32, 8), (40, 8), (48, 8))
        if _numbers(locator, (8, 8)) != (ends,):
            raise ValueError("its directory is not where torch.save writes it")
    if not end.startswith(_END) or _numbers(end, (20, 2)) != (0,) or start + length != ends:
        raise ValueError("its directory is not where torch.save writes it")
    if count > _MOST_RECORDS:
        raise ValueError(f"it has {count} records; {_MOST_RECORDS} are the most that are read")


def _numbers(data: bytes, *places: tuple[int, int]) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[start : start + width], "little") for start, width in places)
