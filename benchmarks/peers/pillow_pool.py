"""`pillow_pool.py IN OUT EXTENSION`: decode, resize and encode with Pillow in a pool of threads."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image


def enlarge(path: Path) -> None:
    with Image.open(path) as image:
        large = image.resize((image.width * 2, image.height * 2), Image.Resampling.BILINEAR)
    large.save(Path(sys.argv[2]) / f"{path.stem}{sys.argv[3]}", quality=95)


if __name__ == "__main__":
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(enlarge, sorted(Path(sys.argv[1]).iterdir())))
