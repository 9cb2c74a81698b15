"""Writes docs/formats.md: `python docs/generate_formats.py`. Every cell is an image written and read back.

Our own `nearest_form` and sink write an image, and another reader (Pillow, tifffile, or imagecodecs for PNG and JPEG
XL) reads the file. The profile and the code numbers in a JPEG XL are read by our own reader. If it does not contain
what `nearest_form` announced, this ends with an error instead of a table.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from imagecodecs import jpegxl_decode, png_decode
from PIL import Image, ImageCms, IptcImagePlugin
from read_only_formats import read_only_table

from upsample_cli import upsample_file
from upsample_cli.images.color.convert import convert_rows
from upsample_cli.images.format_table import COMMENT, FORMATS, Format
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS, MANY, MAX_METADATA_BYTES
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.model import ColourSpace, ImageInfo, Layout, Metadata
from upsample_cli.images.open import read_header
from upsample_cli.images.output_form import nearest_form
from upsample_cli.images.save import open_sink

HEIGHT, WIDTH = 11, 17
_RNG = np.random.default_rng(3)
_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">formats</x:xmpmeta>'
_IPTC = b"\x1c\x02\x78\0\x07caption"  # record 2, data set 120: the caption
_CODES = (9, 16)  # BT.2020 and PQ, which an ICC profile cannot express
_HDR = ColourSpace(codes=_CODES)
_MAKER = "A maker"
_RGB, _NOTHING = Layout("rgb"), Metadata()
_DPI = (300.0, 300.0)
_TITLE = ("Title", "A title")
_REMARK = (COMMENT, "A remark")


def page() -> str:
    """The whole of docs/formats.md."""
    bounds = {"pixels": DEFAULT_MAX_PIXELS // 10**6, "many": MANY, "metadata": MAX_METADATA_BYTES >> 20}
    return _TEXT.format(table=_table(), read_only=read_only_table(), limits=_limits(), **bounds)


def _table() -> str:
    lines = [f"| | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for fmt in FORMATS.values():
        lines.append(f"| {fmt.title} | {' | '.join(cell(fmt) for cell in _COLUMNS.values())} |")
    return "\n".join(lines)


def _limits() -> str:
    lines = ["| | most pixels | `--quality` | memory |", "|---|---|---|---|"]
    for fmt in FORMATS.values():
        side = f"{fmt.max_side} a side" + (f", {fmt.max_pixels} in all" if fmt.max_pixels else "")
        side += f", {fmt.max_bytes / 2**30:.0f} GiB" if fmt.max_bytes else ""
        quality = "{} to {}".format(*fmt.quality_range) if fmt.quality_range else "none"
        lines.append(f"| {fmt.title} | {side} | {quality} | {'a few bands' if fmt.streams else 'the whole image'} |")
    return "\n".join(lines)


def _written(
    fmt: Format, layout: Layout = _RGB, metadata: Metadata = _NOTHING
) -> tuple[bytes, np.ndarray[Any, Any], tuple[str, ...]]:
    """An image of noise in this format: the file, its rows, and the losses that `nearest_form` announced."""
    info = ImageInfo("png", HEIGHT, WIDTH, layout, lossless=True)
    form = nearest_form(info, metadata, fmt)
    noise = _RNG.random((HEIGHT, WIDTH, layout.channels))
    whole = 1 if layout.depth == 32 else 2**layout.depth - 1
    rows = convert_rows((noise * whole).astype(layout.dtype), layout, form.layout)
    file = io.BytesIO()
    sink = open_sink(
        file, fmt, height=HEIGHT, width=WIDTH, layout=form.layout, info=info,
        metadata=metadata_for_output(form.metadata, HEIGHT, WIDTH),
    )  # fmt: skip
    sink.write_rows(rows.copy())
    sink.finish()
    return file.getvalue(), rows, tuple(map(str, (*form.losses, *form.possible)))


def _read_back(fmt: Format, data: bytes) -> np.ndarray[Any, Any]:
    """The pixels as another reader sees them: (height, width, channels)."""
    if fmt.name == "tiff":
        pixels = tifffile.imread(io.BytesIO(data))
    elif fmt.name == "png":
        pixels = png_decode(data)
    elif fmt.name == "jxl":
        pixels = jpegxl_decode(data)
    elif fmt.name == "pnm":  # our libraries do not read all kinds; the rows are at the end of the file
        size, is_deep = HEIGHT * WIDTH * (4 if data.startswith(b"P7") else 3), b"65535\n" in data[:80]
        pixels = np.frombuffer(data[-size * (1 + is_deep) :], ">u2" if is_deep else "u1")
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    else:
        image = Image.open(io.BytesIO(data))
        pixels = np.array(image.convert("RGBA" if "transparency" in image.info else image.mode.replace("P", "RGB")))
    return pixels.reshape(HEIGHT, WIDTH, -1)


def _agreed(fmt: Format, what: str, is_kept: bool, is_announced: bool) -> bool:
    if is_kept != is_announced:
        raise RuntimeError(f"{fmt.title}: {what} is {'' if is_kept else 'not '}in the file, and fit says otherwise")
    return is_kept


def _depth(fmt: Format) -> str:
    kept = []
    for depth, title in ((8, "8"), (16, "16"), (32, "32 float")):
        data, rows, lost = _written(fmt, Layout("rgb", depth=depth))  # type: ignore[arg-type]
        found = _read_back(fmt, data)
        if fmt.lossless and not np.array_equal(found, rows):
            raise RuntimeError(f"{fmt.title}: {depth} bits come back as others")
        is_kept = found.dtype == Layout("rgb", depth=depth).dtype  # type: ignore[arg-type]
        if _agreed(fmt, f"{depth} bits", is_kept, not any("per channel" in line or "float" in line for line in lost)):
            kept.append(title)
    return ", ".join(kept) + (f" ({fmt.max_colours} colours)" if fmt.max_colours else "")


def _colours(fmt: Format) -> str:
    kept = []
    for colour, title in (("grey", "grey"), ("rgb", "RGB"), ("cmyk", "CMYK"), ("cielab", "Lab")):
        data, _, lost = _written(fmt, Layout(colour))  # type: ignore[arg-type]
        mode = _mode(fmt, data)
        is_kept = mode == {"grey": "L", "rgb": "RGB", "cmyk": "CMYK", "cielab": "LAB"}[colour]
        if colour in {"cmyk", "cielab"}:
            _agreed(fmt, title, is_kept, not any(title in line for line in lost))
        kept += [title] * is_kept
    return ", ".join(kept)


def _mode(fmt: Format, data: bytes) -> str:
    if fmt.name == "jxl":
        return {1: "L", 3: "RGB"}[_read_back(fmt, data).shape[2]]
    with Image.open(io.BytesIO(data)) as image:
        return "RGB" if image.mode == "P" else image.mode


def _alpha(fmt: Format) -> str:
    data, rows, lost = _written(fmt, Layout("rgb", alpha=True))
    found = _read_back(fmt, data)
    is_kept = found.shape[2] == 4
    _agreed(fmt, "alpha", is_kept, not any("cannot hold transparency" in line for line in lost))
    if not is_kept:
        return "no"
    # AVIF changes noise a little; noise made opaque or clear is off by 64 in the mean.
    near = float(np.abs(found[..., 3].astype(int) - rows[..., 3]).mean()) < 16
    _agreed(fmt, "half transparency", near, not any("half-transparent" in line for line in lost))
    return "yes" if near else "all or nothing"


def _part(what: str, metadata: Metadata, phrase: str, is_found: Callable[[Format, bytes], bool]) -> Callable[..., str]:
    """A column for a part of the metadata: written, looked for by another reader, compared with what was announced."""

    def cell(fmt: Format) -> str:
        data, _, lost = _written(fmt, metadata=metadata)
        is_announced = not any(phrase in line for line in lost)
        return "yes" if _agreed(fmt, what, is_found(fmt, data), is_announced) else "no"

    return cell


def _stated(data: bytes) -> Metadata:
    return read_header(io.BytesIO(data))[1]


def _has_icc(fmt: Format, data: bytes) -> bool:
    if fmt.name == "jxl":
        return _stated(data).icc_profile == _ICC
    return bool(Image.open(io.BytesIO(data)).info.get("icc_profile") == _ICC)


def _has_codes(fmt: Format, data: bytes) -> bool:
    if fmt.name == "jxl":
        return _stated(data).colour == _HDR
    return b"cICP" + bytes((*_CODES, 0, 1)) in data or b"colrnclx" + struct.pack(">HH", *_CODES) in data


def _exif_block() -> bytes:
    block = Image.Exif()
    block[0x010F] = _MAKER
    return block.tobytes().removeprefix(b"Exif\0\0")


def _has_exif(fmt: Format, data: bytes) -> bool:
    return bool(_exif_of(fmt, data).get(0x010F) == _MAKER)


def _exif_of(fmt: Format, data: bytes) -> Image.Exif:
    if fmt.name != "jxl":
        return Image.open(io.BytesIO(data)).getexif()
    block, at = Image.Exif(), data.find(b"Exif\0\0\0\0") + 8
    if at >= 8:
        block.load(data[at : at + int.from_bytes(data[at - 12 : at - 8], "big") - 12])
    return block


def _has_xmp(fmt: Format, data: bytes) -> bool:
    if fmt.name == "jxl":
        return b"xml " + _XMP in data
    image = Image.open(io.BytesIO(data))
    found = image.text.get("XML:com.adobe.xmp", "").encode() if fmt.name == "png" else image.info.get("xmp")  # type: ignore[attr-defined]
    return bool(found == _XMP)


def _has_iptc(fmt: Format, data: bytes) -> bool:
    if fmt.name == "jxl":
        return _IPTC in data
    image = Image.open(io.BytesIO(data))
    if fmt.name == "png":  # ImageMagick's way, which exiftool reads too
        lines = image.text.get("Raw profile type iptc", "").split("\n")[3:]  # type: ignore[attr-defined]
        return _IPTC in bytes.fromhex("".join(lines))
    found = IptcImagePlugin.getiptcinfo(image) if fmt.name in {"jpeg", "tiff"} else None
    return bool(found and found.get((2, 120)) == b"caption")


def _has_dpi(fmt: Format, data: bytes) -> bool:
    exif = _exif_of(fmt, data)
    by_pillow = None if fmt.name == "jxl" else Image.open(io.BytesIO(data)).info.get("dpi")
    found = by_pillow or (exif.get(0x011A), exif.get(0x011B))
    return None not in found and bool(np.allclose([float(value) for value in found], _DPI, atol=0.02))


def _text(fmt: Format) -> str:
    data, _, lost = _written(fmt, metadata=Metadata(text=(_TITLE, _REMARK)))
    if fmt.name == "jxl":
        has_title = has_remark = _TITLE[1].encode() in data or _REMARK[1].encode() in data
    elif fmt.name == "pnm":
        has_title, has_remark = _TITLE[1].encode() in data, b"\n# " + _REMARK[1].encode() + b"\n" in data
    else:
        image = Image.open(io.BytesIO(data))
        has_title = getattr(image, "text", {}).get("Title") == _TITLE[1]
        has_remark = has_title or image.info.get("comment") == _REMARK[1].encode()
    said = " ".join(lost)
    _agreed(fmt, "text", has_title, "Title" not in said)
    _agreed(fmt, "the remark", has_remark, COMMENT not in said)
    return "all" if has_title else "one remark" if has_remark else "no"


def _frames(fmt: Format) -> str:
    """End to end: an animation and a file of pages are enlarged by 1, and Pillow counts the frames."""
    images = [Image.fromarray(_RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).quantize(8) for _ in range(3)]
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in (("animation", "in.gif"), ("pages", "in.tif")):
            source, target = Path(folder, name), Path(folder, f"{kind}{fmt.extensions[0]}")
            images[0].save(source, save_all=True, append_images=images[1:])
            result = upsample_file(source, target, factor=1)
            is_kept = _count(target) == len(images)
            if _agreed(fmt, kind, is_kept, not any("the first is" in line for line in result.warnings)):
                kept.append(kind)
    return " and ".join(kept) or "the first"


def _count(path: Path) -> int:
    if path.suffix == ".jxl":
        pixels = jpegxl_decode(path.read_bytes())
        return len(pixels) if pixels.ndim == 4 else 1
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


_COLUMNS: dict[str, Callable[[Format], str]] = {
    "bits per channel": _depth,
    "colour": _colours,
    "alpha": _alpha,
    "ICC": _part("the profile", Metadata(icc_profile=_ICC), "ICC", _has_icc),
    "colour by codes": _part("codes", Metadata(colour=_HDR), "colour space", _has_codes),
    "EXIF": _part("Exif", Metadata(exif=_exif_block()), "EXIF", _has_exif),
    "XMP": _part("XMP", Metadata(xmp=_XMP), "XMP", _has_xmp),
    "IPTC": _part("IPTC", Metadata(iptc=_IPTC), "IPTC", _has_iptc),
    "dpi": _part("the resolution", Metadata(dpi=_DPI), "resolution", _has_dpi),
    "text": _text,
    "several images": _frames,
}

_TEXT = """# Formats

Generated by `python docs/generate_formats.py`. Do not edit.

## What each output keeps

Every cell was checked when this page was generated: our own encoder wrote an image, and another reader read it back
(Pillow, tifffile, imagecodecs for PNG and JPEG XL, or numpy for the plain rows of PNM; our own reader for what the
header of a JPEG XL states). The page is generated only if every file contains what the plan announced. Whatever a
format cannot hold is a warning when it is lost, and an error with `--strict`. `tconv info FILE` shows the same for your
own file.

{table}

A colour space that the input states other than by an ICC profile (AVIF's nclx; PNG's cICP, gAMA and cHRM; the encoding
of a JPEG XL) is kept by PNG, AVIF and JPEG XL, and becomes an ICC profile in JPEG, WebP and TIFF, except HDR (PQ, HLG),
which no profile can say. JPEG, PNG and TIFF keep the proportion of pixels that are not square. A profile that does
not suit the pixels (RGB for a grey image) is left out with a warning. The HDR chunks mDCV and cLLI are kept from PNG to
PNG.

What does not apply to the enlarged image is left out without a warning: thumbnails in EXIF, JFIF, XMP and Photoshop's
resources; settings of encoders, of printing and of Photoshop's views; of a PNG the time of its last change (tIME),
suggested palettes, the name of the profile and a background behind opaque pixels; and values that say how the pixels of
the input were stored. XMP about other files, such as the ingredients of a montage, is kept as it is. If two parts of a
file state different resolutions, that of JFIF, PNG's pHYs or TIFF's own tags counts, and EXIF's stays in EXIF where the
output has one.

Of a photograph with an HDR gain map (UltraHDR, Apple, Adobe) the base image is enlarged, and one warning says that the
gain map is left out. `--linear-light` follows the stated curve, linear included; it refuses PQ and HLG.

PNG, TIFF, BMP and PNM are lossless; WebP and JPEG XL are lossless if the input was and no quality is given. JPEG XL is
also lossless at quality 100, with floating point or HDR, and with alpha if it has 16 bits or colours other than sRGB.
WebP, AVIF and JPEG XL keep the resolution inside their EXIF. If a format cannot hold a depth, the next lower one that
it can hold is used. PNM is a PGM, a PPM or, with alpha, a PAM. A name that ends in .pam always gets a PAM; if a name
ends in another kind's extension, a warning says so. PBM, PGM, PPM and PAM are all read, binary and plain.

## Formats that are only read

Cells were checked in the same way: another encoder wrote an image, and our reader returned its pixels.

{read_only}

Without a choice of yours, the output is PNG, or TIFF for pixels that PNG cannot hold (floating point, CMYK), so nothing
is lost. A note says so once. A photograph in HEIC becomes a large file that way; `--format jpeg` makes it small again.
HEIC needs an extra: `pip install 'upsample-cli[heif]'`. TGA has no magic number, so it is recognized by its name and
its header. Light in Radiance HDR and in PSD of 32 bits is linear and is kept as stored, also beyond 1, in TIFF only.
Other outputs cut it off at 1, with a warning. The output says in its ICC profile or gAMA that it is linear.

| refused | what to do |
|---|---|
| RAW of cameras (CR2, CR3, NEF, ARW, DNG, ORF, RW2, RAF, PEF, ...) | develop it, see below |
| OpenEXR | `oiiotool in.exr -o out.tif`; no library that we depend on reads it |
| other HEIF (H.264, H.266, JPEG), SVG, PDF | convert it to PNG, TIFF or JPEG |

darktable, RawTherapee, dcraw and rawpy develop RAW. Many RAW files are TIFF structures that begin with a small preview.
They are recognized by the data of the sensor, and the preview is not enlarged in their place.

## Limits

{limits}

Limits of an input: `--max-pixels` ({pixels} million) for one image, {many} times as many for all frames or pages of a
file together, and {metadata} MiB, decompressed, for all its metadata: text, EXIF, XMP, captions and the colour profile.

## Bad input

A plan reads headers only, each with a budget of bytes and calls that grows with the file, so a header that refers to
itself is refused. `--timeout` applies to it too.

A file that cannot be read is reported in one line, whatever is wrong with it, and the exit status is 1. It gets no
output, and a batch goes on. `tests/enlarge/test_bad_input.py` makes a corpus of such files (truncated at every tenth,
bits flipped, no size, absurd sizes, sizes that disagree, bombs, cyclic directories, pipes, folders) and runs it
through the functions and the command. Damage outside the pixels, in a colour profile, in EXIF or in any ancillary
chunk of a PNG, costs a warning and not the image; a damaged frame of an animation costs that frame.

`python tests/fuzz.py --seconds 600` mutates a good file of every kind and takes it through the plan, the reader, every
frame, and a sink, in a separate process. A finding is an exception other than `UpsampleError`, a Python warning, a read
of more than 5 s, or more than 400 MiB for an image of at most a million pixels.

On a 2-core machine, Python 3.11, Pillow 13, tifffile and imagecodecs, at low priority: the first 11,000 inputs had 31
findings with four causes, all fixed. A JPEG strip in a TIFF that claimed to be 65,000 pixels wide took 4.3 GB; a TIFF
whose sides were 0 or lists of numbers raised other exceptions; signalling NaN and damaged tags made numpy and tifffile
print warnings. Then 162,027 inputs in 520 s had no finding. When every frame and page was read too, a GIF with a later
frame far outside its canvas took 6.5 GB (fixed), and of 44,174 inputs in 330 s one crashed imagecodecs' LZW decoder.
Since then libtiff decodes LZW, and has not crashed. With Lab, 16-bit animations and JPEG XL, JPEG XR, LERC and JPEG
2000 tiles among the files, 24,456 inputs in 500 s on a busy machine had one finding: a JPEG XR tile whose codestream
asked for 80 PiB. Damaged JPEG XR tiles later crashed its decoder, so TIFFs in JPEG XR are refused by name.

Formats that are only read, and nothing else: 213,678 inputs in 3,450 s on a busy machine, 7.7 minutes of processor
time, had no finding, with pillow-heif 1.8.1 and imagecodecs 2026.3.6.

Known limits: the size of LERC inside deflate or Zstandard in a TIFF is not read before it is decoded. A progressive
JPEG that is truncated in its last scan, with an end marker after it, is read without a warning: the finest details at
its end are missing. libjpeg-turbo does not say so through imagecodecs or Pillow, and a second decoding, which would
show it, is a sixth of the processor time of enlarging a progressive JPEG.

Memory holds one frame of an animation at a time: 640x480 to 1280x960, the process, then with Python's torch, peaked at
590 MiB for 20 frames of GIF and at 592 MiB for 300; for animated PNG at 587 MiB for 60 and 591 MiB for 300. A GIF frame
of more than 256 colours is dithered with colours that cover a sample of it; such frames took 0.07 s of processor time
each.
"""


if __name__ == "__main__":
    (Path(__file__).parent / "formats.md").write_text(page(), encoding="utf-8")
