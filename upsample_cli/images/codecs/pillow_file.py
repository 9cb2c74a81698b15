"""Opens image files with Pillow, by their content, behind our own size limit, and says in one line why it cannot."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from PIL import Image, ImageFile, PngImagePlugin

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.gif import extent
from upsample_cli.images.codecs.png.ancillary import Ancillary, read_ancillary
from upsample_cli.images.codecs.webp import webp_size
from upsample_cli.images.format_table import FORMATS, Format
from upsample_cli.images.limits import MAX_METADATA_BYTES, MetadataError, check_pixels
from upsample_cli.images.metadata.ifd import OVERLAP
from upsample_cli.images.metered import MeteredFile
from upsample_cli.special_files import refuse_special

Input = str | os.PathLike[str] | BinaryIO

# First bytes, where they lie, whose they are. Only the decoder of that one format is loaded and run.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"GIF8", "gif"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (4, b"ftypmif1", "avif"),
    (0, b"BM", "bmp"),
    *((0, b"P%d%c" % (kind, space), "pnm") for kind in range(1, 8) for space in b" \t\r\n#"),
)
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)
_HEAD_BYTES = 32
_CONVERT = "convert it to PNG, TIFF or JPEG first"
REDUCE = "convert it to RGB or grey of 8 or 16 bits first"
_COPY = "get a new copy of it"
_STRIP = "remove it, with exiftool for example"

# What Pillow says, and what that means to someone who has never heard of Pillow.
_PHRASES: tuple[tuple[str, str, str], ...] = (
    ("-bit layers", "is a JPEG of more than 8 bits per channel, which is not supported", REDUCE),
    ("-layer images", "is a JPEG of an unusual number of channels, which is not supported", _CONVERT),
    ("unknown pixel mode", "is a TIFF whose kind of pixels is not supported", REDUCE),
    ("unknown data organization", "is a TIFF whose kind of pixels is not supported", REDUCE),
    ("samples per pixel", "is a TIFF whose number of channels is not supported", REDUCE),
    ("Windows Media Photo", "is a TIFF compressed as JPEG XR, which is not supported", _CONVERT),
    ("BMP compression", "is a BMP of a compression that is not supported", _CONVERT),
    ("bitfields", "is a BMP whose kind of pixels is not supported", _CONVERT),
    ("pixel depth", "is a BMP whose kind of pixels is not supported", _CONVERT),
    ("support not installed", "cannot be decoded by the Pillow that is installed", "install Pillow's own build of it"),
    (OVERLAP, "is damaged: its directories, or what they point to, overlap", _COPY),
    ("runcated", "is truncated: the file ends before its image does", _COPY),
)


class _Quiet:
    """How many threads are inside, and what was there before the first of them."""

    lock = threading.Lock()
    inside = 0
    limits: tuple[int | None, int, int] = (None, 0, 0)
    ignored: Any = None
    libtiff: Any = None
    handler = logging.NullHandler()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Put our limits in place of Pillow's, and keep its, libtiff's and tifffile's lines away while any thread is here.

    The limits are globals of Pillow's and warning filters belong to the process: the first thread in changes them, the
    last one out restores them: then all is as it was.
    """
    with _Quiet.lock:
        if not _Quiet.inside:
            _Quiet.limits = _set_limits(None, MAX_METADATA_BYTES, MAX_METADATA_BYTES)
            warnings.filterwarnings("ignore", module=r"(PIL|tifffile)\.")
            _Quiet.ignored = warnings.filters[0]
            logging.getLogger("PIL").addHandler(_Quiet.handler)
            _Quiet.libtiff = _set_libtiff_handler(None)
        _Quiet.inside += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.inside -= 1
            if not _Quiet.inside:
                _set_limits(*_Quiet.limits)
                with suppress(ValueError):  # someone else replaced the filters meanwhile
                    cast("list[Any]", warnings.filters).remove(_Quiet.ignored)
                logging.getLogger("PIL").removeHandler(_Quiet.handler)
                _set_libtiff_handler(_Quiet.libtiff)


def _set_limits(pixels: int | None, text_bytes: int, all_text_bytes: int) -> tuple[int | None, int, int]:
    """Set Pillow's limits of an image and of one text and all texts of a PNG; returns those before."""
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    Image.MAX_IMAGE_PIXELS = pixels
    PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = text_bytes, all_text_bytes
    return before


def _set_libtiff_handler(handler: int | None) -> int | None:
    """Tell the libtiff inside Pillow who is to print errors, None for nobody; the one before.

    Pillow itself does so for warnings only. Where its libtiff cannot be reached from here, it goes on printing.
    """
    set_handler = _libtiff_setter()
    return set_handler(handler) if set_handler is not None else None


@cache
def _libtiff_setter() -> Callable[[int | None], int | None] | None:
    with suppress(AttributeError, OSError):
        set_handler = ctypes.CDLL(cast("Any", Image).core.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        return cast("Callable[[int | None], int | None]", set_handler)
    return None


def shown_name(source: Input) -> str:
    """What to call an input in a message."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    name = getattr(source, "name", "-")
    return name if isinstance(name, str) else "-"


@contextmanager
def opened_file(source: Input, timeout_s: float | None = None) -> Iterator[BinaryIO]:
    """The input as a seekable `MeteredFile` at its start. A file object is left open; a pipe is read to its end.

    Args:
        source: a file's path, or a binary file object.
        timeout_s: seconds that reading its header may take.

    Raises:
        ImageError: it is missing, a folder, no regular file, or may not be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        file = source if source.seekable() else BytesIO(source.read())
        file.seek(0)
        yield cast("BinaryIO", MeteredFile(file, shown_name(source), timeout_s))
        return
    try:
        _check_file(source, Path(source).stat())
        file = open(source, "rb", opener=_open_at_once)  # noqa: SIM115 closed below, where errors are not its own
    except (OSError, ValueError) as error:
        raise _cannot_open(source, error) from error
    with file:
        _check_file(source, os.fstat(file.fileno()))  # what has its name may be another by now
        yield cast("BinaryIO", MeteredFile(file, shown_name(source), timeout_s))


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, if it has become a pipe, for someone to write to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_file(source: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(source, "is a folder, not an image", "name the images in it")
    refuse_special(source, status, next_step="copy it into one, or pipe it in and give - as input")


_OPEN_ERRORS: dict[int | None, tuple[str, str]] = {
    errno.ENOENT: ("no such file", "check the name"),
    errno.ENOTDIR: ("no such file", "check the name"),
    errno.EACCES: ("may not be read", "check its permissions"),
    errno.EPERM: ("may not be read", "check its permissions"),
    errno.ELOOP: ("is a symbolic link that leads in a circle", "check the name"),
    errno.ENAMETOOLONG: ("has a name longer than the file system allows", "check the name"),
}


def _cannot_open(source: str | os.PathLike[str], error: OSError | ValueError) -> ImageError:
    if isinstance(error, ValueError):
        return ImageError(source, "has a zero byte in its name", "check the name")
    cause, next_step = _OPEN_ERRORS.get(error.errno, (f"cannot be opened ({error.strerror})", ""))
    return ImageError(source, cause, next_step)


class Opened(NamedTuple):
    """An image as Pillow opens it, pixels undecoded; of a PNG, the chunks that tell about it."""

    image: ImageFile.ImageFile
    format: Format
    chunks: Ancillary | None


def open_with_pillow(file: BinaryIO, name: str, *, max_pixels: int) -> Opened:
    """Open the image in `file`, pixels undecoded. Call it, and all that is done with the image, in `quiet_pillow`.

    Args:
        file: seekable; stays open, and must, until the image is decoded.
        name: what to call it in a message.
        max_pixels: refuse an image of more.

    Raises:
        ImageError: it is no image we know, is damaged, or is too large.
    """
    head = file.read(_HEAD_BYTES)
    fmt = format_of_content(head, name)
    if fmt.name == "webp":
        check_pixels(name, *webp_size(head), max_pixels)  # its decoder takes the memory as soon as it is made
    with readable(name, fmt):
        chunks = read_ancillary(file) if fmt.name == "png" else None  # first: Pillow inflates profiles without end
        file.seek(0)
        import_module(f"PIL.{_PLUGINS.get(fmt.name, fmt.pillow_name.title())}ImagePlugin")
        image = Image.OPEN[fmt.pillow_name][0](file, "")  # without a name Pillow does not map the file into memory
    check_pixels(name, image.height, image.width, max_pixels)
    if fmt.name == "gif":
        check_pixels(name, *extent(file), max_pixels)
    return Opened(image, fmt, chunks)


_PLUGINS = {"webp": "WebP"}


def format_of_content(head: bytes, name: str) -> Format:
    """The format that a file's first 32 bytes announce.

    Raises:
        ImageError: it is none of ours.
    """
    if not head:
        raise ImageError(name, "is empty", _COPY)
    for at, magic, known in _MAGIC:
        if head.startswith(magic, at):
            return FORMATS[known]
    for at, magic, title in _FOREIGN:
        if head.startswith(magic, at):
            raise ImageError(name, f"is {title}, which is not supported", _CONVERT)
    titles = ", ".join(each.title for each in FORMATS.values())
    raise ImageError(name, f"is not an image in a format we know ({titles})", "check the file, or " + _CONVERT)


@contextmanager
def readable(name: str, fmt: Format) -> Iterator[None]:
    """Turn whatever Pillow raises in here into one line. Damaged files make it raise nearly everything there is.

    Raises:
        ImageError: instead.
    """
    try:
        yield
    except ImageError:
        raise
    except MetadataError as error:
        cause = f"carries more than {MAX_METADATA_BYTES >> 20} MiB of text, profile and other metadata"
        raise ImageError(name, cause, _STRIP) from error
    except MemoryError as error:
        raise ImageError(name, "does not fit into memory", "give --workers 1, or enlarge it elsewhere") from error
    except OSError as error:
        if error.errno is not None:
            raise ImageError(name, f"cannot be read ({error.strerror})", "check the disk or the network") from error
        raise _damaged(name, fmt, error) from error
    except Exception as error:
        raise _damaged(name, fmt, error) from error


def _damaged(name: str, fmt: Format, error: Exception) -> ImageError:
    for phrase, cause, next_step in _PHRASES:
        if phrase in str(error):
            return ImageError(name, cause, next_step)
    return ImageError(name, f"is damaged: its {fmt.title} data make no sense", _COPY)
