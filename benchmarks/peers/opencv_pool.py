"""`opencv_pool.py IN OUT EXTENSION`: decode, resize and encode with OpenCV in a pool of threads."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2


def enlarge(path: Path) -> None:
    image = cv2.imread(str(path))
    assert image is not None
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert cv2.imwrite(str(Path(sys.argv[2]) / f"{path.stem}{sys.argv[3]}"), large)


if __name__ == "__main__":
    cv2.setNumThreads(1)  # the pool has a thread for each core
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(enlarge, sorted(Path(sys.argv[1]).iterdir())))
