"""Turn exceptions of decoders into one line that says what is wrong with the file and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from upsample_cli.errors import MORE_MEMORY, ImageError
from upsample_cli.images.input_formats import ReadFormat
from upsample_cli.images.limits import MAX_METADATA_BYTES, MetadataError
from upsample_cli.images.metadata.ifd import OVERLAP
from upsample_cli.images.model import Rows
from upsample_cli.images.regions import ReadBox

CONVERT = "convert it to PNG, TIFF or JPEG first"
REDUCE = "convert it to RGB or grey of 8 or 16 bits first"
COPY = "get a new copy of it"
_STRIP = "remove it, with exiftool for example"

# A phrase in a decoder's message, the cause in plain words, the next step.
_PHRASES: tuple[tuple[str, str, str], ...] = (
    ("-layer images", "is a JPEG of an unusual number of channels, which is not supported", CONVERT),
    ("unknown pixel mode", "is a TIFF whose kind of pixels is not supported", REDUCE),
    ("unknown data organization", "is a TIFF whose kind of pixels is not supported", REDUCE),
    ("samples per pixel", "is a TIFF whose number of channels is not supported", REDUCE),
    ("BMP compression", "is a BMP of a compression that is not supported", CONVERT),
    ("bitfields", "is a BMP whose kind of pixels is not supported", CONVERT),
    ("BMP header type", "is a BMP of a kind that is not supported", CONVERT),
    ("pixel depth", "is a BMP whose kind of pixels is not supported", CONVERT),
    ("Not implemented", "is an AVIF that uses a feature that is not supported", CONVERT),
    ("Unsupported depth", "is an AVIF of an unusual number of bits, which is not supported", CONVERT),
    ("Reformat failed", "is an AVIF of a colour coding that is not supported", CONVERT),
    ("No codec available", "is an AVIF that the Pillow that is installed cannot decode", CONVERT),
    ("support not installed", "cannot be decoded by the Pillow that is installed", "install Pillow's own build of it"),
    (OVERLAP, "is damaged: its directories, or what they point to, overlap", COPY),
    ("NEED_MORE_INPUT", "is truncated: the file ends before its image does", COPY),
    ("runcated", "is truncated: the file ends before its image does", COPY),
)


def unreadable(name: str, error: OSError) -> ImageError:
    """The error for a file that the system cannot read."""
    return ImageError(name, f"cannot be read ({error.strerror})", "check the disk or the network", kind="unreadable")


@contextmanager
def readable(name: str, fmt: ReadFormat) -> Iterator[None]:
    """Turn an exception of a decoder into an `ImageError`. On damaged files Pillow can raise almost any exception.

    Raises:
        ImageError: in place of the exception.
    """
    try:
        yield
    except (ImageError, ImportError):  # a broken installation is not a damaged file
        raise
    except MetadataError as error:
        cause = f"carries more than {MAX_METADATA_BYTES >> 20} MiB of text, profile and other metadata"
        raise ImageError(name, cause, _STRIP, kind="too-large") from error
    except MemoryError as error:
        raise ImageError(name, "does not fit into memory", MORE_MEMORY, kind="no-memory") from error
    except OSError as error:
        if error.errno is not None:
            raise unreadable(name, error) from error
        raise _damaged(name, fmt, error) from error
    except Exception as error:
        raise _damaged(name, fmt, error) from error


def readable_box(read_box: ReadBox, name: str, fmt: ReadFormat) -> ReadBox:
    """Reads boxes inside `readable`."""

    def read(top: int, bottom: int, left: int, right: int) -> Rows:
        with readable(name, fmt):
            return read_box(top, bottom, left, right)

    return read


def _damaged(name: str, fmt: ReadFormat, error: Exception) -> ImageError:
    for phrase, cause, next_step in _PHRASES:
        if phrase in str(error):
            return ImageError(name, cause, next_step, kind="damaged" if next_step == COPY else "unsupported")
    return ImageError(name, f"is damaged: its {fmt.title} data make no sense", COPY)
