"""What follows from an image's header and the options is found once for all images with the same header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from upsample_cli.enlarge.options import Options
from upsample_cli.images.model import ImageInfo, Metadata
from upsample_cli.kernels.kernel import KERNEL_NAMES

Found = TypeVar("Found")

_MOST = 256
_MOST_METADATA = 64 << 10
"""Bytes of metadata. Images with more are rarely alike, and 256 of them would fill the memory."""


class ByHeader(Generic[Found]):
    """Remembers what was found for the last few headers."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Found] = {}  # changed by atomic operations only: threads share it
        self._last: tuple[tuple[object, ...], Found | None] = ((), None)

    def get(
        self, find: Callable[[], Found], info: ImageInfo, metadata: Metadata, options: Options, *more: object
    ) -> Found:
        """What `find` returns for an image with this header. An exception of `find` is not remembered.

        Args:
            find: called unless it was called for an image with the same header.
            info, metadata: from the header.
            more: what else it depends on.
        """
        key = (info, metadata, options, *more)
        last_key, found = self._last
        if found is not None and key == last_key:  # a key of the same objects is compared faster than it is hashed
            return found
        is_large = metadata.tags is not None or metadata.size_bytes > _MOST_METADATA
        if is_large or options.kernel not in KERNEL_NAMES or options.model is not None:  # a file of weights may change
            return find()
        found = self._known.get(key)
        if found is None:
            found = find()
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = found
        self._last = key, found
        return found
