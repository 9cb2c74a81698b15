"""Turn exceptions of encoders into errors of a file that cannot be written."""

from __future__ import annotations

import struct


class encoder_errors:  # noqa: N801  a context manager, faster than a generator
    """Turn an exception of an encoder into an OSError without a number, which `writing_error` explains.

    An OSError with a number comes from the system and is not changed.

    Args:
        title: title of the format.

    Raises:
        OSError: in place of the exception.
    """

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            return
        if isinstance(error, (OSError, ValueError, RuntimeError, OverflowError, struct.error)):
            raise OSError(f"the {self._title} encoder gave up ({str(error).splitlines()[0]})") from error
