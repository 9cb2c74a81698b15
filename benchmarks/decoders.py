"""PNG decoded in memory: this package by bands, and whatever other decoders are installed. CPU time."""

from __future__ import annotations

import importlib
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from benchmarks.harness import Row, race
from benchmarks.images import photograph
from upsample_cli.images.open import open_image

_BAND_ROWS = 128
_Decoder = Callable[[bytes, Any], object]


def _ours(data: bytes, _pixels: Any) -> None:
    with open_image(io.BytesIO(data)) as source:
        height = source.info.height
        for top in range(0, height, _BAND_ROWS):
            source.read_rows(top, min(top + _BAND_ROWS, height))


def _pillow(data: bytes, _pixels: Any) -> object:
    image = Image.open(io.BytesIO(data))
    return np.asarray(image.convert("RGB") if image.mode == "P" else image)


def _opencv(data: bytes, _pixels: Any) -> object:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _kornia(module: Any) -> _Decoder:
    def decoded(data: bytes, pixels: Any) -> object:
        mode = {1: "mono", 3: "rgb", 4: "rgba"}[pixels.shape[2] if pixels.ndim == 3 else 1]
        decode = module.io.decode_image_png_u16 if pixels.dtype == np.uint16 else module.io.decode_image_png_u8
        return decode(data, pixels.shape[:2], mode)

    return decoded


_OTHERS: dict[str, Callable[[Any], _Decoder]] = {
    "kornia_rs": _kornia,
    "pyspng": lambda module: lambda data, _: module.load(data),
    "pyvips": lambda module: lambda data, _: module.Image.new_from_buffer(data, "", access="sequential").numpy(),
    "skia": lambda module: lambda data, _: module.Image.MakeFromEncoded(module.Data(data)).toarray(),
}
"""Not installed with `bench`."""


def _decoders() -> dict[str, _Decoder]:
    found: dict[str, _Decoder] = {
        "open_image": _ours,
        f"imagecodecs {imagecodecs.__version__}, libpng": lambda data, _: imagecodecs.png_decode(data),
        f"OpenCV {cv2.__version__}": _opencv,
        f"Pillow {Image.__version__}": _pillow,  # type: ignore[attr-defined]
    }
    for name, made in _OTHERS.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            print(f"{name} is missing here; its row is left out")
        else:
            version = getattr(module, "__version__", "")
            found[f"{name} {version}".strip()] = made(module)
    return found


def _files() -> Iterator[tuple[str, bytes, Any]]:
    photo = photograph(3000, 4000)
    small, grey = np.ascontiguousarray(photo[:450, :660]), np.ascontiguousarray(photo[..., 1])
    grain = np.random.default_rng(0).integers(0, 257, (2000, 3000, 3), np.uint16)
    yield "12 MP RGB", _saved(Image.fromarray(photo)), photo
    yield "0.3 MP RGB", _saved(Image.fromarray(small)), small
    yield "12 MP RGBA", _saved(Image.fromarray(rgba := np.dstack((photo, photo[..., 0])))), rgba
    yield "12 MP grey", _saved(Image.fromarray(grey)), grey
    yield "12 MP palette", _saved(Image.fromarray(photo).quantize(256)), photo
    deep = photo[:2000, :3000].astype(np.uint16) * 255 + grain
    yield "6 MP 16-bit RGB", bytes(imagecodecs.png_encode(deep, level=6)), deep


def _saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def decode(rounds: int) -> Iterator[list[Row]]:
    """Photographs of every kind of pixel, written by Pillow or libpng. What a decoder cannot read is left out."""
    decoders = _decoders()
    for what, data, pixels in _files():

        def run(decoder: _Decoder, data: bytes = data, pixels: Any = pixels) -> Callable[[], None]:
            def decoded() -> None:
                decoder(data, pixels)

            return decoded

        runs = {name: run(decoder) for name, decoder in decoders.items() if _reads(decoder, data, pixels)}
        yield race(f"decoder: {what}", runs, rounds=rounds, clock=time.process_time)


def _reads(decoder: _Decoder, data: bytes, pixels: Any) -> bool:
    try:
        decoder(data, pixels)
    except Exception as error:
        print(f"a row is left out: {error}")
        return False
    return True
