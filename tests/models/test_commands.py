"""`upsample --model`, `tconv info` and records of runs, and the published weights of DAT."""

import importlib.resources
import json

import numpy as np
import pytest
from PIL import Image
from support import networks
from support.networks import whole, write_network
from support.running import run_tconv, run_upsample

from upsample_cli.batch.record.identity import settings_text
from upsample_cli.enlarge.options import Options


def write_image(path, seed=0, shape=(20, 24, 3)):
    pixels = np.random.default_rng(seed).integers(0, 255, shape, np.uint8, endpoint=True)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels
