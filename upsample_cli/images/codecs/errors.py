"""Turn exceptions of encoders into errors of a file that cannot be written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def encoder_errors(title: str) -> Iterator[None]:
    """Turn an exception of an encoder into an OSError without a number, which `writing_error` explains.

    An OSError with a number comes from the system and is not changed.

    Args:
        title: title of the format.

    Raises:
        OSError: in place of the exception.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _refusal(title, error) from error
    except (ValueError, RuntimeError, OverflowError, struct.error) as error:
        raise _refusal(title, error) from error


def _refusal(title: str, error: Exception) -> OSError:
    return OSError(f"the {title} encoder gave up ({str(error).splitlines()[0]})")
