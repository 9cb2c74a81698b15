"""An interactive page of one small transposed convolution: a single file that loads nothing, for `tconv explain`."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from pathlib import Path
from string import Template

from upsample_cli.atomic.files import new_file
from upsample_cli.errors import UsageError
from upsample_cli.tconv.explain.example import Example
from upsample_cli.tconv.layers.convolution import SETTINGS

_FRAME_HEIGHT = 900
"""Height of the page in a notebook, in pixels."""


def page(example: Example) -> str:
    """The page as HTML. It starts with the numbers and the settings of the example.

    Raises:
        UsageError: the example has several channels.

    >>> import numpy as np
    >>> from upsample_cli.tconv.explain.example import example
    >>> "src=" in page(example(np.arange(3.0), np.ones(2), stride=2))
    False
    """
    if example.input.shape[0] > 1 or example.kernel.shape[1] > 1:
        raise UsageError("the page shows one channel", "leave out the channels")
    axes = [
        {"size": size, **{name: getattr(axis, name) for name in SETTINGS}}
        for size, axis in zip(example.input.shape[1:], example.layer.each_axis, strict=True)
    ]
    given = {
        "axes": axes,
        "input": {"values": example.input.reshape(-1).tolist(), "sizes": example.input.shape[1:]},
        "kernel": {"values": example.kernel.reshape(-1).tolist(), "sizes": example.kernel.shape[2:]},
    }
    return Template(_text("page.html")).substitute(
        css=_text("page.css"),
        arithmetic=_text("arithmetic.js"),
        script=_text("page.js"),
        given=json.dumps(given),  # numbers and fixed names only
    )


def frame(example: Example) -> str:
    """The page inside an HTML frame, for a notebook."""
    style = f"border: 0; height: {_FRAME_HEIGHT}px; width: 100%"
    return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(page(example))}"></iframe>'


def write_page(example: Example, path: Path, *, overwrite: bool) -> None:
    """Write the page to a file.

    Raises:
        UpsampleError: the file cannot be written.
    """
    text = page(example)
    with new_file(path, overwrite=overwrite) as file:
        file.write(text.encode())


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
