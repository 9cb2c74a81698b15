"""`pillow_resize.py PIXELS OUT WIDTH HEIGHT CHANNELS FACTOR`: enlarge in memory with the Pillow of this Python.

It prints its name and version, and then enlarges once for each line of standard input, which it answers with an empty
line. After the line `save` it writes the enlarged pixels to OUT.
"""

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from PIL import Image


def serve(pixels: str, out: str, sizes: Iterable[str]) -> None:
    width, height, channels, factor = map(int, sizes)
    image = Image.frombytes("L" if channels == 1 else "RGB", (width, height), Path(pixels).read_bytes())
    name = next(name for name in ("pillow-simd", "pillow") if any(metadata.distributions(name=name)))
    print(name, metadata.version(name), flush=True)
    for line in sys.stdin:
        large = image.resize((width * factor, height * factor), Image.Resampling.BILINEAR)
        if line == "save\n":
            Path(out).write_bytes(large.tobytes())
        print(flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3:])
