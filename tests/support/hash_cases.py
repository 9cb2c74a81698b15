"""The command lines of `hash_outputs.py`. They use files and folders from `hash_inputs.py`.

A case is one or more lines, run one after another in its own folder. `< NAME` gives a line its standard input.
"""

from __future__ import annotations

from support.corpus import good_files
from support.hash_inputs import input_files

OUTPUTS = ("jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "pnm")
KERNELS = (
    "bilinear", "nearest", "bicubic", "bicubic-0.75", "mitchell", "catmull-rom", "lanczos2", "lanczos3", "bspline",
    "gaussian", "fitted", "net",
)  # fmt: skip
FRAMEWORKS = ("keras", "tensorflow", "onnx", "caffe", "paddle", "mxnet")
ONE_OF_EACH = ("rgb.png", "rgba.png", "png-16.png", "rgba16.png", "grey.png", "float32.tif", "jpeg-cmyk.jpg")
"""The kinds of pixels for which the engine differs."""
SEVERAL = ("animated.gif", "png-animated.png", "png-animated-16.png", "webp-animated.webp", "tiff-pages.tif")


def cases() -> list[tuple[str, ...]]:
    """Every case, each once."""
    found = [*_formats(), *_engine(), *_options(), *_sizes(), *_streams(), *_batches(), *_tconv(), *_tconv_files()]
    return list(dict.fromkeys(case if isinstance(case, tuple) else (case,) for case in (*found, *_mistakes())))


def _formats():
    """Every input with default options, and the corpus to every format."""
    files = [name for name in input_files() if "/" not in name]
    images = [name for name in files if not name.endswith((".npy", ".wav", ".safetensors", ".txt"))]
    yield from (f"upsample {name}" for name in images)
    yield from (f"upsample {name} -f 3 -o out.png" for name in images if not name.startswith("turned"))
    yield from (f"tconv info {name} --json" for name in images)
    names = [name for name in images if name.rsplit(".", 1)[0].replace("-", " ") in good_files()]
    for output in OUTPUTS:
        yield from (f"upsample {name} --format {output}" for name in (*names, "rgba.png", "rgba16.png"))
        yield f"upsample scene.jpg --format {output} -q"


def _engine():
    """Every kernel, factor and border of every kind of pixels."""
    for name in ONE_OF_EACH:
        yield from (f"upsample {name} -f {factor} -o out.tif" for factor in ("1", "1.5", "4/3", "5", "8"))
        for kernel in KERNELS:
            factors = ("2", "3", "4", "2.5") if name in ("rgb.png", "rgba.png") or kernel == "fitted" else ("2", "3")
            yield from (f"upsample {name} --kernel {kernel} -f {factor} -o out.tif" for factor in factors)
        for border in ("replicate", "reflect", "wrap", "zeros"):
            yield f"upsample {name} --border {border} --kernel lanczos3 -o out.tif"
            yield f"upsample {name} --border {border} -f 1.5 -o out.tif"
    for name in ("wide.png", "noise.tif"):
        yield from (f"upsample {name} -o out.tif {more}" for more in ("--tile 16", "--tile 7 -f 3", "--memory 64M"))
        yield f"upsample {name} -o out.tif --tile 32 -f 2.5 --kernel bicubic"
    yield from (f"upsample rgb.png --kernel up.safetensors:up.weight --factor 2 -o out.{end}" for end in ("png", "tif"))
    yield "upsample rgb.png --kernel biased.safetensors:up.weight -o out.png"
    yield "upsample grey.png --kernel one.npy -o out.png"
    yield "upsample scene.jpg --kernel fitted -f 3 -o out.png"
    yield ("tconv kernel --factor 2 --kernel mitchell -o m.pt", "upsample rgba.png --kernel m.pt -o out.png")


def _options():
    for name in ONE_OF_EACH:
        yield from (f"upsample {name} --depth {depth} -o out.tif" for depth in ("keep", "8", "16"))
        yield f"upsample {name} --linear-light -o out.tif"
        yield f"upsample {name} --linear-light -f 1.5 --kernel bicubic --depth 16 -o out.png"
    yield from (f"upsample {name} --linear-light -o out.png" for name in ("profile.png", "gamma.png", "palette.png"))
    for name in ("rgba.png", "rgba16.png", "grey-alpha.png", "alpha.png", "tiff-associated.tif", "palette.png"):
        yield f"upsample {name} --alpha straight -o out.png"
        yield f"upsample {name} --alpha straight -f 1.5 --kernel lanczos3 -o out.tif"
    full = ("scene.jpg", "jpeg-full.jpg", "png-full.png", "webp-full.webp", "tiff-full.tif", "avif.avif")
    for name in full:
        yield from (f"upsample {name} -f 1.5 --metadata {policy}" for policy in ("keep", "strip", "orientation-only"))
        yield f"upsample {name} --strict --format gif"
    for output, levels in {
        "jpeg": (1, 60, 100),
        "png": (0, 6),
        "webp": (30, 100),
        "tiff": (0, 9),
        "avif": (50,),
    }.items():
        yield from (f"upsample small.png --format {output} --quality {level}" for level in levels)
    yield from (f"upsample {name} --frame {n} -o out.png" for name in SEVERAL for n in (1, 2, 9))
    yield from (f"upsample {name} -f 1.5 --kernel bicubic" for name in SEVERAL)
    yield from (f"upsample {name} --linear-light --alpha straight --frame 1" for name in SEVERAL)
    yield "upsample rgb.png -v"
    yield "upsample rgb.png --json"
    yield "upsample png-full.png --format gif --json"
    yield "upsample rgb.png --name {stem}-{kernel}-{width}x{height}{ext}"
    yield "upsample rgb.png -n"
    yield ("upsample rgb.png", "upsample rgb.png", "upsample rgb.png --overwrite -f 2 --border zeros")


def _sizes():
    for name in ("rgb.png", "rgba16.png", "turned6.jpg", "tiff-pages.tif", "animated.gif", "sizes.tif"):
        for size in ("--size 60x50", "--size 20x10", "--width 100", "--height 90", "--width 9", "--fit 80x80"):
            yield f"upsample {name} {size}"
    yield "upsample scene.jpg --fit 320x320 -o out.png"
    yield "upsample rgb.png --size 74x46"
    yield "upsample rgb.png --size 111x46 --kernel nearest"


def _streams():
    for name in ("rgb.png", "jpeg-full.jpg", "tiff-pages.tif", "animated.gif", "rgb.ppm"):
        yield f"upsample - < {name}"
        yield f"upsample - -o out.png < {name}"
    yield "upsample - --format webp < png-full.png"
    yield "upsample rgb.png -o - --format tiff"
    yield "upsample - < text.png.txt"
    yield "tconv info - --json < jpeg-full.jpg"
    yield "tconv shape 8x3x224x224 --file - < model.txt"


def _batches():
    """Only a few, because each starts worker processes. One worker if the order of lines depends on the images."""
    again = "upsample shots -r -o big --json --workers 1"
    yield (f"{again} --name {{index:03}}_{{stem}}_{{width}}x{{height}}{{ext}} --report run.jsonl --gallery look.html",)
    yield (
        again.replace("--workers 1", "--workers 2"),
        f"{again} --format png",
        f"{again} -f 3 --overwrite",
        again.replace("--json", "-v"),
    )
    yield (
        "upsample faulty -o big --workers 1 --report run.jsonl",
        "upsample faulty -o big --workers 1 --retry-failed -v",
    )
    yield "upsample shots -r -o big --dry-run --json"
    yield "upsample shots -r -o big --dry-run -v"
    yield "upsample rgb.png rgb.bmp -o big --dry-run"
    yield "upsample shots -o big --name same{ext} --dry-run"
    yield "upsample a.png b.png --workers 1"


def _tconv():
    layer = '"ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)"'
    encoder = '"Conv2d(3, 8, 3, 2, 1)" "ReLU()" "MaxPool2d(2)"'
    for line in (
        "shape 50 --kernel-size 3 --stride 2 --padding 1",
        "shape 50x100 --kernel-size 3,5 --stride 2 --padding 1,2",
        "shape 224x224 --conv --kernel-size 7 --stride 2 --padding 3",
        "shape rgb.png --factor 2",
        'shape 50x100 "ConvTranspose2d(16, 33, 3, stride=2)" "Conv2d(33, 8, 3)"',
        'shape n "Conv1d(1, 8, 3, stride=2, padding=1)" "Upsample(scale_factor=2)"',
        "shape 112 --kernel-size 3 --stride 2 --padding 1 --output-size 224",
        "shape 8x3x224x224 --file model.txt",
        f"shape 3x224x224 {encoder}",
        'shape 10x50x100 "ConvTranspose3d(16, 33, (3, 5, 2), stride=(2, 1, 1), padding=(0, 4, 2))"',
        'shape 3x64x64 "Conv2d(3, 8, 3, padding=\'same\')" "AvgPool2d(2)" "PixelShuffle(2)" "Flatten()"',
        "solve --from 112 --to 224",
        "solve --from 112x56 --to 224x168 --kernel-size 3,4,5",
        "solve --from 224 --to 112 --conv --any-size",
        "solve --from 10x50x100 --to 19x100x200 --limit 3",
        'invert "Conv2d(3, 16, 3, stride=2, padding=1)" --size 224,225',
        "invert \"Conv1d(1, 8, 4, padding='same')\" --size 50",
        f"invert {encoder} --size 224x320",
        "kernel --factor 3 --channels 21",
        "kernel --factor 4 --axes 1",
        "kernel --factor 2,3,3",
        *(f"kernel --factor 2 --kernel {name}" for name in KERNELS if name not in ("fitted", "net")),
        "explain",
        "explain --stride 2",
        'explain --input "[1, 2, 3]" --kernel "[0.25, 0.75, 0.75, 0.25]" --stride 2 --padding 1',
        "explain --channels 2,3 --stride 2 --dilation 2 --output-padding 1",
        "checkerboard --kernel-size 3 --stride 2 --padding 1 --output-padding 1",
        'checkerboard "ConvTranspose2d(64, 32, 5, stride=2, padding=2, output_padding=1)"',
        "checkerboard --kernel-size 4,3 --stride 2,3",
        "checkerboard --weights up.safetensors:up.weight --stride 2 --padding 1",
        *(f"translate {layer} --to {name}" for name in FRAMEWORKS),
        'translate "ConvTranspose2d(21, 21, 4, 2, 1, groups=21, bias=False)" --to caffe',
        "translate \"Conv2DTranspose(8, 3, strides=2, padding='same')\" --from keras",
        'translate "ConvTranspose(kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])" --from onnx',
        "info jpeg-full.jpg --factor 8",
        "info animated.gif --factor 3",
    ):
        yield f"tconv {line}"
        yield f"tconv {line} --json"


def _tconv_files():
    ends = ("safetensors", "pt", "npy", "json", "onnx", "py")
    files = " ".join(f"-o up.{end}" for end in ends)
    yield f"tconv kernel --factor 2 --channels 3 {files}"
    yield "tconv kernel --factor 2 --channels 3 -o up.prototxt"
    yield f"tconv kernel --factor 3 --channels 4 --depthwise --kernel bspline {files}"
    yield "tconv kernel --factor 2,3,3 -o trilinear.onnx -o trilinear.npy"
    yield "tconv explain --padding 1 --picture steps.png"
    yield "tconv checkerboard --kernel-size 3 --stride 2 --picture map.png"
    weights = "tconv checkerboard --weights up.safetensors:up.weight --stride 2 --padding 1"
    yield from (f"{weights} --cure {cure} -o cured.{end}" for cure in ("icnr", "sums") for end in ("safetensors", "pt"))
    yield f"{weights} --picture map.png"
    given = "--weights biased.safetensors:up.weight --stride 2 --padding 1"
    for line in (
        "sound.wav --factor 2 -o out.wav", "volume.npy --factor 2 -o out.npy", "signal.npy --factor 3 -o out.npy",
        "stack.tif --factor 2 -o out.tif", f"rgb.png {given} -o out.png", f"rgb.png {given} -o out.bmp --tile 8",
        f"png-16.png {given} -o out.png", f"rgb.png {given} --border reflect -o out.tif",
        'signal.npy "ConvTranspose1d(1, 1, 3, stride=2, padding=1)" -o out.npy --json',
        "stereo.npy --axes 1 --factor 3 -o out.npy --json", "rgba.png --factor 2 -o out.png --json",
        "grey.png --kernel-size 5 --stride 3 --padding 1 -o out.png --tile 6",
        "grey.png --kernel-size 4 --stride 2 --padding 1 --border replicate -o out.tif",
        "rgb.png --weights one.npy --stride 2 --padding 1 -o out.png",
    ):  # fmt: skip
        yield f"tconv run {line}"
    compared = "tconv compare wide.png --kernels bilinear,nearest,bicubic,lanczos3,fitted"
    yield f"{compared} --rounds 1 --json -o sheet.png"
    yield f"{compared} --rounds 0 --factor 3 --degrade area --crop 30,20,40x40 -o sheet.png"
    yield "tconv compare small.png --reference wide.png --rounds 0 --kernels bilinear,mitchell --json"
    yield "tconv fit photos --support 3 -o mine.safetensors --json", "upsample rgb.png --kernel mine.safetensors"
    yield "tconv fit photos --support 3 --degrade jpeg90 --asymmetric"


def _mistakes():
    """Statuses and messages."""
    yield from (
        f"upsample {arguments}"
        for arguments in (
            "missing.png", "rgb.png -f 0.5", "rgb.png -f 65", "rgb.png -f many", "rgb.png -f 2 --width 9",
            "rgb.png --size 10", "rgb.png --kernel none", "rgb.png --kernel missing.safetensors",
            "rgb.png --kernel fitted -f 7", "rgb.png --kernel up.safetensors", "rgb.png --kernel up.safetensors:none",
            "rgb.png --border none", "rgb.png --format none", "rgb.png --format bmp --quality 3",
            "rgb.png --quality 101 --format jpeg", "rgb.png --device none", "rgb.png --name {nothing}{ext}",
            "rgb.png -o out.none", "rgb.png --max-pixels 10", "rgb.png --max-pixels none", "rgb.png --depth 12",
            "rgb.png --memory none", "rgb.png --tile 0", "rgb.png --frame 2", "rgb.png --workers 0", "rgb.png -q -v",
            "rgb.png --report -", "rgb.png --timeout 0", "rgb.png -o rgb.png", "rgb.png --state x --no-state",
            "rgb.png --none", "rgb.png -o - --json", "rgb.png --cluster ''", "rgb.png rgb.bmp -o out.png", "shots -n",
            "huge.png --max-pixels 2G -n", "tiny1x1.png -f 64 --format gif", "not-finite.tif --format png --json",
        )
    )  # fmt: skip
    yield from (
        f"tconv {arguments}"
        for arguments in (
            "shape", "shape 50 --kernel-size 0", "shape 50 --kernel-size 3 --stride none", "shape 0 --factor 2",
            'shape 50 "Conv2d(3"', 'shape 50 "None(3)"', "shape missing.png --factor 2", "none", "shape 50 --none",
            'invert "ReLU()" --size 5', "kernel --factor 0", "kernel --factor 2 -o out.none", "kernel --factor 65",
            'translate "Conv2d(3, 8, 3)" --to keras', "translate x --to none", 'explain --input "[[1], 2]"',
            "info text.png.txt", "info missing.png", "run rgb.png -o out.png", "run rgb.png -f 2", "fit shots/note.txt",
            "run signal.npy -f 2 -o out.wav", "compare rgb.png --factor 65", "compare rgb.png --kernels none",
            "checkerboard", "checkerboard --weights up.safetensors --stride 2", "--version",
        )
    )  # fmt: skip
