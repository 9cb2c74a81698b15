"""Files that are not networks, or hostile ones: one line each, and nothing is executed."""

import os

import pytest
import torch
from safetensors.torch import save_file
from support import spandrel_networks as networks
from support.spandrel_networks import write_network

from upsample_cli.errors import UsageError
from upsample_cli.models import network as network_module
from upsample_cli.models.choice import chosen_model, model_factor
from upsample_cli.models.network import built_network
from upsample_cli.models.state import ModelFile


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refused(path, cause):
    with pytest.raises(UsageError, match=cause) as caught:
        model_factor(str(path))
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"weight": torch.zeros(3), "run": Attack(trace)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "holds more than tensors, which could run code")
    assert not trace.exists()
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert trace.exists()  # the control: a reader that unpickles runs it


def test_a_truncated_file_is_damaged(tmp_path):
    for name in ("a.pth", "a.safetensors"):
        write_network(tmp_path / name, networks.compact)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
        refused(tmp_path / name, "is damaged, or not what its name says")


def test_files_that_are_not_networks(tmp_path):
    refused(tmp_path / "none.pth", "there is no such file")
    (tmp_path / "text.safetensors").write_text("not a network at all", encoding="ascii")
    refused(tmp_path / "text.safetensors", "is damaged, or not what its name says")
    (tmp_path / "a.png").write_bytes(b"")
    refused(tmp_path / "a.png", "'.png' is not an extension of a network; use one of .safetensors, .pth, .pt")
    torch.save({"weight": torch.zeros(1, 1, 4, 4)}, tmp_path / "kernel.pth")
    refused(tmp_path / "kernel.pth", "is not a network of an architecture that spandrel knows")
    torch.save({}, tmp_path / "empty.pth")
    refused(tmp_path / "empty.pth", "there are no weights in it")


def test_other_channels_are_refused(tmp_path):
    write_network(tmp_path / "four.pth", lambda: networks.compact(channels=4))
    refused(tmp_path / "four.pth", "has 4 input and 4 output channels, and images are RGB")


def state_of(make):
    torch.manual_seed(0)
    return make().state_dict()


def test_a_weight_of_another_shape_and_infinite_weights_are_refused(tmp_path):
    state = state_of(networks.compact)
    key = next(key for key in state if key.endswith("bias"))
    save_file(state | {key: torch.zeros(99)}, tmp_path / "shape.safetensors")
    refused(
        tmp_path / "shape.safetensors", "spandrel cannot build RealESRGAN Compact of these weights: .*size mismatch"
    )
    save_file(state | {key: torch.full_like(state[key], torch.inf)}, tmp_path / "inf.safetensors")
    refused(tmp_path / "inf.safetensors", "holds infinities or NaN")


def test_names_and_shapes_that_would_make_a_huge_network_are_refused(tmp_path):
    state = state_of(networks.compact)
    save_file(state | {"body.123456789.weight": torch.zeros(4)}, tmp_path / "index.safetensors")
    refused(tmp_path / "index.safetensors", "a name in it has a number above 9999")
    torch.save({"body.0.weight": torch.zeros(1).expand(2**30)}, tmp_path / "expanded.pth")
    refused(tmp_path / "expanded.pth", "it has 1073741824 numbers in 1 tensors")


def test_building_a_network_stops_at_a_limit_of_memory(tmp_path, monkeypatch):
    write_network(tmp_path / "a.pth", networks.compact)
    monkeypatch.setattr(network_module, "_MOST_TIMES", 0)
    monkeypatch.setattr(network_module, "_SPARE_BYTES", 1000)
    refused(tmp_path / "a.pth", "cannot build RealESRGAN Compact of these weights: it takes more than 0 MiB")
    monkeypatch.setattr(network_module, "_SPARE_BYTES", 2**28)
    monkeypatch.setattr(network_module, "_MOST_CALLS", 3)
    refused(tmp_path / "a.pth", "it takes more than 3 operators")


@pytest.mark.parametrize("wrapper", ["params_ema", "state_dict", "anything"])
def test_weights_inside_the_dictionaries_of_training_scripts_are_found(wrapper, tmp_path):
    state = {wrapper: state_of(networks.compact)}
    if wrapper == "params_ema":
        state["params"] = state_of(networks.grey)  # spandrel prefers the mean of the last steps
    torch.save(state, tmp_path / "a.pth")
    network, model = chosen_model(str(tmp_path / "a.pth"))
    assert (network.channels, model.architecture, model.factor) == (3, "RealESRGAN Compact", 2)


def test_without_spandrel_the_message_says_what_to_install(tmp_path, monkeypatch):
    write_network(tmp_path / "a.pth", networks.compact)
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    with pytest.raises(UsageError, match=r"needs the package spandrel; run pip install 'upsample-cli\[models\]'"):
        built_network(ModelFile(tmp_path / "a.pth", "", state_of(networks.compact), ""))
