"""The input files of `hash_outputs.py` by name. Each run creates the same bytes."""

from __future__ import annotations

import io
import wave

import numpy as np
import tifffile
from PIL import Image
from safetensors.numpy import save as weight_file

from support.corpus import HEIGHT, ICC, RGB, RGB16, WIDTH, exif, good_files, png, png_of_rows, saved, tiff
from support.environment import TESTS

SAMPLES = TESTS.parent / "samples"
_SAMPLE_ENDS = ("gif", "jpg", "png", "webp")
_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
_GREY = RGB[..., 0].copy()


def input_files() -> dict[str, bytes]:
    """Every input by its name: the samples, each kind of image and its variants, arrays, sounds, weights."""
    images = (path for end in _SAMPLE_ENDS for path in SAMPLES.glob(f"*.{end}") if "_x" not in path.stem)
    files = {path.name: path.read_bytes() for path in sorted(images)}
    for name, data in good_files().items():
        kind = name.split()[0]
        files[f"{name.replace(' ', '-')}.{_SUFFIXES.get(kind, kind)}"] = data
    files |= _variants() | _oriented() | _sized() | _numbers() | _bad() | _texts()
    source = {"a.jpg": "jpeg-full.jpg", "B.png": "png-full.png", "deep/c.tif": "tiff-pages.tif"}
    files |= {f"shots/{name}": files[of] for name, of in source.items()}
    files |= {"shots/deep/down/d.gif": files["gif-animated.gif"], "shots/note.txt": b"not an image\n"}
    files |= {"faulty/good.png": files["png-full.png"], "faulty/cut.png": files["cut.png"]}
    return files | {"faulty/empty.jpg": b"", "faulty/text.webp": b"not an image\n"}


def _variants() -> dict[str, bytes]:
    image, grey = Image.fromarray(RGB), Image.fromarray(_GREY)
    alpha = Image.fromarray(np.dstack((RGB, RGB[..., 1])))
    soft = np.kron(RGB[:12, :19] // 2 + 60, np.ones((8, 8, 1))).astype(np.uint8)
    grey_alpha16 = np.dstack((RGB16[..., 0], RGB16[..., 1]))
    four_bits = [bytes(row) for row in (np.arange(8 * 8).reshape(8, 8) % 256).astype(np.uint8)]
    floats = (RGB16 / 65535 * 1.2 - 0.1).astype(np.float32)
    odd = floats.copy()
    odd[3, 5, 1], odd[9, 2, 0] = np.nan, np.inf
    return {
        "rgb.png": saved(image, "PNG"),
        "rgb.bmp": saved(image, "BMP"),
        "rgb.jpg": saved(image, "JPEG", quality=90),
        "rgba.png": saved(alpha, "PNG"),
        "rgba.webp": saved(alpha, "WEBP", lossless=True),
        "grey.png": saved(grey, "PNG"),
        "grey-alpha.png": saved(Image.merge("LA", (grey, grey.transpose(Image.Transpose.ROTATE_180))), "PNG"),
        "grey-alpha16.png": png(HEIGHT, WIDTH, 16, 4, _rows16(grey_alpha16)),
        "rgba16.png": png(HEIGHT, WIDTH, 16, 6, _rows16(np.dstack((RGB16, RGB16[..., 0])))),
        "grey4bits.png": png_of_rows(16, 4, 0, four_bits),
        "colour-key.png": png_of_rows(8, 8, 0, four_bits, (b"tRNS", b"\0\x09")),
        "gamma.png": png_of_rows(8, 8, 0, four_bits, (b"gAMA", (100_000).to_bytes(4, "big"))),
        "profile.png": saved(image, "PNG", icc_profile=ICC),
        "soft-420.jpg": saved(Image.fromarray(soft), "JPEG", subsampling="4:2:0", quality=80),
        "soft-422.jpg": saved(Image.fromarray(soft), "JPEG", subsampling="4:2:2", quality=80),
        "soft-444.jpg": saved(Image.fromarray(soft), "JPEG", subsampling="4:4:4", quality=80),
        "still.gif": saved(image.quantize(32), "GIF", transparency=3),
        "lossy.webp": saved(alpha, "WEBP", quality=70),
        "alpha.avif": saved(alpha, "AVIF", speed=10),
        "cmyk.tif": tiff(np.dstack((RGB, _GREY)), photometric="separated"),
        "inverted.tif": tiff(_GREY, photometric="miniswhite"),
        "grey16.tif": tiff(RGB16[..., 0].copy(), photometric="minisblack", compression="zlib", predictor=True),
        "float16.tif": tiff(floats[..., 0].astype(np.float16), photometric="minisblack"),
        "float32.tif": tiff(floats, photometric="rgb", rowsperstrip=5),
        "float64.tif": tiff(floats[..., 0].astype(np.float64), photometric="minisblack"),
        "not-finite.tif": tiff(odd, photometric="rgb"),
        "sizes.tif": _pages_of_two_sizes(),
        "bits.pbm": b"P1\n3 2\n1 0 1\n0 1 1\n",
        "plain.pgm": b"P2\n# remark\n3 2\n15\n0 4 8\n12 15 3\n",
        "grey.pgm": b"P5\n%d %d\n255\n" % (WIDTH, HEIGHT) + _GREY.tobytes(),
        "rgb.ppm": b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT) + RGB.tobytes(),
        "rgba.pam": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" % (WIDTH, HEIGHT)
        + np.dstack((RGB, _GREY)).tobytes(),
    }


def _rows16(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)


def _pages_of_two_sizes() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB16[:9, :14, 0].copy(), photometric="minisblack")
    return file.getvalue()


def _oriented() -> dict[str, bytes]:
    found = {}
    for orientation in range(1, 9):
        block = Image.Exif()
        block[0x0112] = orientation
        for suffix, kind in (("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("webp", "WEBP")):
            if suffix == "jpg" or orientation in {3, 6}:
                found[f"turned{orientation}.{suffix}"] = saved(Image.fromarray(RGB), kind, exif=block)
    return found


def _sized() -> dict[str, bytes]:
    """From one pixel to several bands; the large ones are smooth, because noise takes encoders much time."""
    noise = np.random.default_rng(3).integers(0, 256, (300, 420, 4), np.uint8)
    smooth = np.add.outer(np.arange(300) * 3, np.arange(420) * 2)[..., None] // np.array([7, 9, 11]) % 256
    smooth = smooth.astype(np.uint8)
    tiny = {
        f"tiny{height}x{width}.png": saved(Image.fromarray(noise[:height, :width]), "PNG")
        for height, width in ((1, 1), (1, 40), (40, 1), (2, 3))
    }
    return tiny | {
        "wide.png": saved(Image.fromarray(smooth), "PNG"),
        "small.png": saved(Image.fromarray(smooth[::2, ::2]), "PNG"),
        "noise.tif": tiff(noise[..., :3].copy(), photometric="rgb", tile=(64, 64), compression="zlib"),
        **{f"photos/{name}.png": _photo(seed) for seed, name in enumerate("abc")},
    }


def _photo(seed: int) -> bytes:
    """Noise of several scales, so that a fit finds structure."""
    generator, pixels = np.random.default_rng(seed), np.zeros((96, 96, 3))
    for scale in (1, 2, 4, 8, 16):
        coarse = generator.normal(0, 4 * scale**0.7, (96 // scale, 96 // scale, 3))
        pixels += np.kron(coarse, np.ones((scale, scale, 1)))
    return saved(Image.fromarray((pixels + 128).clip(0, 255).astype(np.uint8)), "PNG")


def _numbers() -> dict[str, bytes]:
    generator = np.random.default_rng(11)
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(generator.integers(-(2**15), 2**15, (200, 2), np.int16).tobytes())
    weights = {
        "up.weight": generator.normal(0, 0.3, (3, 3, 4, 4)).astype(np.float32),
        "one.weight": np.full((1, 1, 4, 4), 0.25, np.float32),
    }
    bias = {"up.bias": generator.normal(0, 0.1, 3).astype(np.float32)}
    arrays = {
        "signal.npy": generator.normal(0, 1, 50),
        "stereo.npy": generator.normal(0, 1, (2, 30)).astype(np.float32),
        "volume.npy": generator.integers(0, 256, (5, 6, 7), np.uint8),
        "one.npy": weights["one.weight"],
    }
    stack = tiff(*generator.integers(0, 256, (4, 9, 11), np.uint8), photometric="minisblack")
    return {name: _npy(array) for name, array in arrays.items()} | {
        "sound.wav": sound.getvalue(),
        "stack.tif": stack,
        "up.safetensors": weight_file(weights),
        "biased.safetensors": weight_file(weights | bias),
    }


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _bad() -> dict[str, bytes]:
    whole = saved(Image.fromarray(RGB), "PNG")
    return {
        "cut.png": whole[: len(whole) // 2],
        "cut.jpg": saved(Image.fromarray(RGB), "JPEG")[:700],
        "cut.tif": tiff(RGB, photometric="rgb", compression="zlib")[:900],
        "empty.png": b"",
        "text.png.txt": b"not an image\n",
        "huge.png": png(40_000, 40_000, 8, 2, b""),
        "bad-profile.png": saved(Image.fromarray(RGB), "PNG", icc_profile=b"not a profile"),
        "bad-exif.jpg": saved(Image.fromarray(RGB), "JPEG", exif=exif()[:30]),
    }


def _texts() -> dict[str, bytes]:
    printed = """Sequential(
  (0): Conv2d(3, 16, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
  (1): ReLU()
  (2): ConvTranspose2d(16, 3, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))
)
"""
    return {"model.txt": printed.encode()}
