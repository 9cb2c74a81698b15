"""A lake between hills at sunset, computed from noise: a stand-in for a photograph that anyone may use.

Everything is done in linear light at twice the size, with row 0 at the top, and becomes sRGB at the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]

HEIGHT, WIDTH = 427, 640
_SCALE = 2  # of the drawing, against the image: edges come out antialiased
_H, _W = HEIGHT * _SCALE, WIDTH * _SCALE
_HORIZON = int(0.60 * _H)
_SUN = (int(0.445 * _H), int(0.805 * _W))
_SUNLIGHT = np.array([1.0, 0.50, 0.19])


def _random(seed: int) -> np.random.RandomState:
    return np.random.RandomState(seed)  # the one generator of numpy whose numbers are promised never to change


def _noise(height: int, width: int, cell: tuple[float, float], seed: int, octaves: int = 5) -> Array:
    """Smooth noise about 0, spread about 1; the largest lumps measure `cell` (height, width)."""
    random, total = _random(seed), np.zeros((height, width))
    for octave in range(octaves):
        rows, columns = (
            max(2, round(size * 2**octave / lump)) + 1 for size, lump in zip((height, width), cell, strict=True)
        )
        grid = Image.fromarray(random.normal(size=(min(rows, height), min(columns, width))).astype(np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC), float) / 2**octave
    normal: Array = (total - total.mean()) / total.std()
    return normal


def _mix(first: Array, second: Array, share: Array) -> Array:
    return first + (second - first) * share[..., None]


def _smoothstep(low: float, high: float, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _sky() -> Array:
    y, x = np.mgrid[:_HORIZON, :_W]
    up = 1 - y / _HORIZON
    stops = np.array(
        [[0.86, 0.33, 0.11], [0.72, 0.32, 0.19], [0.33, 0.26, 0.33], [0.11, 0.16, 0.32], [0.040, 0.085, 0.22]]
    )
    heights = np.array([0.0, 0.14, 0.38, 0.72, 1.0])
    sky = np.stack([np.interp(up, heights, stops[:, c]) for c in range(3)], -1)
    distance = np.hypot((y - _SUN[0]) * 1.25, x - _SUN[1]) / _W
    sky += _SUNLIGHT * (0.9 * np.exp(-((distance / 0.07) ** 1.2)) + 0.35 * np.exp(-distance / 0.22))[..., None]
    stretch = 0.35 + 0.65 * up  # clouds lie flatter towards the horizon
    cloud = _noise(_HORIZON, _W, (70, 520), 11, 6) + 0.5 * _noise(_HORIZON, _W, (24, 240), 12, 5)
    thick = _smoothstep(0.25, 1.7, cloud - 0.45 * np.abs(up - 0.5) / stretch) * _smoothstep(0.02, 0.3, up)
    lit = np.roll(thick, -10, axis=0) - thick  # thinner below: light from under the cloud
    near = np.exp(-distance / 0.35)
    colour = np.array([0.11, 0.10, 0.16]) + _SUNLIGHT * (0.16 + 1.15 * near)[..., None] * np.array([1, 0.92, 1.1])
    colour *= (1 + 1.6 * np.clip(-lit, -0.3, 0.5))[..., None]
    sky = _mix(sky, colour, 0.82 * thick)
    disc = _smoothstep(0.0172, 0.0156, np.hypot(y - _SUN[0], x - _SUN[1]) / _W)
    return _mix(sky, np.full_like(sky, [4.2, 2.9, 1.25]), disc)


def _ridge(base: float, swing: float, lump: float, seed: int) -> Array:
    """The row where a range of hills ends, for each column."""
    heights: Array = base + swing * _noise(2, _W, (2, lump), seed, 7)[0]
    return _HORIZON - _H * heights


def _hills(sky: Array) -> Array:
    y, x = np.mgrid[:_HORIZON, :_W]
    haze = np.array([0.62, 0.27, 0.15])
    ranges = [  # height, swing, lump, seed, colour in sunlight, share of haze
        (0.145, 0.037, 420, 21, (0.105, 0.090, 0.150), 0.42),
        (0.100, 0.028, 330, 22, (0.060, 0.055, 0.085), 0.22),
        (0.055, 0.018, 300, 23, (0.028, 0.034, 0.036), 0.07),
    ]
    for base, swing, lump, seed, colour, veil in ranges:
        top = _ridge(base, swing, lump, seed)
        depth = (y - top) / (_HORIZON - top)
        relief = _noise(_HORIZON, _W, (90, 120), seed + 20, 7)
        slope = np.gradient(relief, axis=1) * 14 + np.gradient(top)[None] * -0.35 * (1 - np.clip(depth, 0, 1))
        light = np.clip(1 + 0.5 * slope, 0.25, 2.2) * (1 + 0.10 * relief)
        toward = np.exp(-np.abs(x - _SUN[1]) / (0.30 * _W))
        body = np.array(colour) * light[..., None] * (1 + toward[..., None] * _SUNLIGHT * 1.6)
        mist = np.clip(veil + 0.22 * np.clip(depth, 0, 1) ** 2 + 0.12 * toward, 0, 0.92)
        sky = _mix(sky, _mix(body, haze * (0.30 + 0.95 * toward[..., None]), mist), np.clip(y - top + 0.5, 0, 1))
    return sky


def _conifers(shape: tuple[int, int], feet: list[tuple[float, float, float]], seed: int) -> Array:
    """How far firs cover each pixel; each is given by the row and column of its foot, and its height."""
    random, cover = _random(seed), np.zeros(shape)
    for row, column, height in feet:
        y = np.arange(max(0, int(row - height)), min(shape[0], int(row) + 1))
        down = np.maximum(0, y - (row - height)) / height  # 0 at the tip, 1 at the foot
        whorls = max(6.0, height / 8)
        tier = (down * whorls + random.rand()) % 1
        ragged = 0.75 + 0.5 * random.rand(2, len(y))
        half = height * (0.012 + 0.20 * down**0.9 * (0.55 + 0.45 * tier)) * ragged
        x = np.arange(max(0, int(column - height * 0.4)), min(shape[1], int(column + height * 0.4) + 1))
        if not len(x):
            continue
        side = x[None] - column
        reach = np.where(side < 0, half[0][:, None], half[1][:, None])
        part = cover[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        np.maximum(part, np.clip(reach - np.abs(side) + 0.5, 0, 1), out=part)
    return cover


def _shore(land: Array) -> Array:
    """Firs along the far shore, in three depths, the nearest at the left."""
    random = _random(31)
    y = np.arange(land.shape[0])[:, None]
    bank = _HORIZON - 7 - 2.5 * _noise(2, _W, (2, 160), 30, 5)[0]
    land = _mix(land, np.array([0.016, 0.018, 0.017]), np.clip(y - bank + 0.5, 0, 1))
    for count, low, high, left, right, colour, seed in [
        (170, 12, 30, 0.0, 1.0, (0.020, 0.022, 0.020), 32),
        (70, 26, 62, -0.02, 0.40, (0.012, 0.016, 0.014), 33),
        (34, 24, 56, 0.84, 1.02, (0.014, 0.016, 0.014), 34),
        (15, 80, 165, -0.02, 0.17, (0.009, 0.013, 0.012), 35),
    ]:
        columns = np.sort(random.uniform(left, right, count)) * _W
        heights = random.uniform(low, high, count)
        if right - left < 0.5:  # a grove thins out towards the middle of the image
            inner = (columns / _W - left) / (right - left)
            heights *= 0.35 + 0.65 * (1 - inner if left < 0.5 else inner)
        feet = [(_HORIZON - 1 + random.uniform(-3, 1), c, h) for c, h in zip(columns, heights, strict=True)]
        cover = _conifers(land.shape[:2], feet, seed)
        speckle = 1 + 0.35 * _noise(_HORIZON, _W, (6, 6), seed + 10, 2)
        rim = np.clip(cover - np.roll(cover, -2, axis=1), 0, 1) * np.exp(-np.abs(np.arange(_W) - _SUN[1]) / (0.3 * _W))
        body = np.array(colour) * np.clip(speckle, 0.3, 2)[..., None] + rim[..., None] * _SUNLIGHT * 0.22
        land = _mix(land, body, cover)
    return land


def _lake(land: Array) -> Array:
    """The land upside down in moving water."""
    rows = _H - _HORIZON
    y, x = np.mgrid[:rows, :_W]
    near = y / rows
    waves = _noise(rows, _W, (7, 90), 41, 3) * (0.3 + near) + _noise(rows, _W, (22, 260), 42, 3) * near
    ripple = 0.6 * _noise(rows, _W, (3, 34), 43, 2)
    mirrored = _HORIZON - 1 - np.clip(y * 0.94 + (waves * 7 + ripple * 4) * (0.15 + 1.1 * near), 0, _HORIZON - 1)
    across = np.clip(x + waves * 5 * near + ripple, 0, _W - 1)
    water = land[np.rint(mirrored).astype(int), np.rint(across).astype(int)]
    water = np.minimum(water, [1.5, 1.0, 0.5])  # where waves smear the sun
    deep = np.array([0.020, 0.045, 0.070])
    water = _mix(water * np.array([0.80, 0.84, 0.90]), np.broadcast_to(deep, water.shape), 0.12 + 0.52 * near**1.3)
    spread = 0.018 + 0.085 * near
    path = np.exp(-(((x - _SUN[1]) / _W / spread) ** 2))
    glints = _smoothstep(0.35, 1.6, waves * 0.8 + 0.9 * _noise(rows, _W, (4, 26), 44, 2) / (0.8 + near))
    water = water + _SUNLIGHT * (path * (0.16 + 1.5 * glints) * (1 - 0.45 * near))[..., None]
    mist = np.exp(-near / 0.03)
    return _mix(water, np.array([0.42, 0.21, 0.14]) * np.ones_like(water), 0.22 * mist)


def _reeds(image: Array) -> Array:
    """Grass on the near bank, against the light."""
    random, cover = _random(51), np.zeros((_H, _W))
    bank = _H - 20 - 46 * np.exp(-(((np.arange(_W) / _W - 0.04) / 0.24) ** 2)) + 5 * _noise(2, _W, (2, 120), 52, 5)[0]
    cover = np.clip(np.arange(_H)[:, None] - bank[None] + 0.5, 0, 1)
    for _ in range(620):
        foot = int(min(abs(random.normal(0.0, 0.33)), 0.999) * _W)
        height = random.uniform(14, 40) + 95 * random.rand() ** 2 * np.exp(-foot / _W / 0.13)
        rise = np.linspace(0, 1, int(height))
        column = foot + random.normal(0, 0.16) * height * rise**2
        row = bank[foot] + 8 - height * rise
        half = 1.6 * (1 - rise) + 0.35
        for r, c, w in zip(row.astype(int), column, half, strict=True):
            x = np.arange(max(0, int(c - 3)), min(_W, int(c + 4)))
            if len(x) and 0 <= r < _H:
                cover[r, x] = np.maximum(cover[r, x], np.clip(w - np.abs(x - c) + 0.5, 0, 1))
    tone = np.clip(1 + 0.6 * _noise(_H, _W, (5, 3), 53, 2), 0.2, 3)[..., None]
    return _mix(image, np.array([0.0085, 0.0095, 0.0060]) * tone, cover)


def scene() -> NDArray[np.uint8]:
    """The image, (427, 640, 3) uint8 sRGB."""
    land = _shore(_hills(_sky()))
    image = _reeds(np.concatenate([land, _lake(land)]))
    image = image.reshape(HEIGHT, _SCALE, WIDTH, _SCALE, 3).mean((1, 3))
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    image *= (1 - 0.16 * (x**2 + y**2))[..., None]  # a lens darkens the corners
    grey = image.mean(-1, keepdims=True)
    image = np.maximum(0, grey + 1.22 * (image - grey))
    image = 1 - np.exp(-1.9 * image**1.12)  # a film's toe and shoulder
    srgb = np.where(image <= 0.0031308, 12.92 * image, 1.055 * np.maximum(image, 1e-9) ** (1 / 2.4) - 0.055)
    grain = _random(61).normal(size=(HEIGHT, WIDTH, 1)) + 0.5 * _random(62).normal(size=(HEIGHT, WIDTH, 3))
    developed: Array = 255 * srgb + 1.7 * grain
    return np.clip(developed + 0.5, 0, 255).astype(np.uint8)
