"""Each decision about a photograph is made once and then applied."""

from __future__ import annotations

import functools
import sys
from collections import Counter

import pytest
from PIL import Image
from typer.testing import CliRunner

import upsample_cli.enlarge.run  # noqa: F401  loads every module that decides, for patching
from upsample_cli.batch import executors
from upsample_cli.cli.upsample import app
from upsample_cli.engine.devices import pick_device
from upsample_cli.geometry.output_size import OutputSize
from upsample_cli.images.output_form import nearest_form
from upsample_cli.kernels.choice import chosen_kernel, kernel_losses


@pytest.fixture
def calls(monkeypatch):
    """Counts each decision by the name of its function."""
    counts = Counter()

    def counted(function):
        @functools.wraps(function)
        def wrapper(*args, **settings):
            counts[function.__name__] += 1
            return function(*args, **settings)

        return wrapper

    modules = [module for name, module in sys.modules.items() if name.startswith("upsample_cli")]
    for function in (nearest_form, chosen_kernel, kernel_losses, pick_device):
        for module in modules:
            for name, value in list(vars(module).items()):
                if value is function:
                    monkeypatch.setattr(module, name, counted(function))
    monkeypatch.setattr(OutputSize, "of", counted(OutputSize.of))
    return counts


def test_each_decision_about_a_photograph_is_made_once(calls, in_tmp_path, monkeypatch):
    # The thread that chooses a route in advance decides by itself.
    monkeypatch.setattr(executors, "choose_route", lambda *_: None)
    Image.new("RGB", (6, 5), "red").save("photo.jpg")
    calls.clear()
    assert CliRunner().invoke(app, ["photo.jpg"]).exit_code == 0
    once = {"nearest_form": 1, "kernel_losses": 1, "pick_device": 1}
    # The options are checked before an image is read, and the name of the output may contain its size.
    assert calls == once | {"chosen_kernel": 2, "of": 2}
