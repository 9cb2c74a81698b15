"""Files of networks: what is read, and one clear line for every broken promise that exactness depends on."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.network_files import network_file, random_network

from upsample_cli.errors import GeometryError, UsageError
from upsample_cli.kernels.choice import chosen_kernel, is_network
from upsample_cli.kernels.network import Network


def changed(key, change):
    """A function that changes one tensor of a network."""

    def apply(tensors):
        tensors[key] = change(tensors[key].copy())

    return apply


def first_is(value):
    def change(tensor):
        tensor.flat[0] = value
        return tensor

    return change


def removed(key):
    return lambda tensors: tensors.pop(key)


def too_loud(tensors):
    """Weights that are valid one by one, but whose sums with the bias reach 2**24."""
    tensors["trunk.1.bias"][:] = 2**24 - 255 * 9 * 6


def louder_linear(tensors):
    linear = tensors["linear.weight"].astype(np.int64)
    linear[0, 0, :12:4] += 900
    linear[0, 0, 2:12:4] -= 900
    tensors["linear.weight"] = linear.astype(np.int16)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_network_has_the_halo_of_its_receptive_field(factor, layers, tmp_path):
    path = network_file(tmp_path / "a.safetensors", random_network(factor, 3, layers), factor)
    network = chosen_kernel(path, factor)
    assert isinstance(network, Network)
    assert (network.factor, network.bits, network.halo) == (factor, 11, max(3, layers + 1))
    assert network.linear.is_flat
    assert is_network(path)


def test_damaged_metadata_are_one_line(tmp_path):
    for damaged in ("[1]", "[" * 100_000, '{"format": "upsample-net", "version": [[]]}', "{"):
        save_file(random_network(2), tmp_path / "a.safetensors", metadata={"upsample-cli": damaged})
        with pytest.raises(UsageError):
            chosen_kernel(str(tmp_path / "a.safetensors"), 2)


def test_networks_are_equal_if_all_numbers_are(tmp_path):
    one, same, other = (
        chosen_kernel(network_file(tmp_path / "n.safetensors", random_network(2, seed=seed), 2, note=note), 2)
        for seed, note in ((0, "a"), (0, "other metadata"), (1, "a"))
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_other_files_of_weights_are_not_networks(tmp_path):
    save_file({"weight": np.full((1, 1, 2, 2), 1, np.float32)}, tmp_path / "w.safetensors", metadata={"format": "pt"})
    assert not is_network(str(tmp_path / "w.safetensors"))
    assert not is_network("bilinear")
    assert is_network("net")


def test_a_network_is_only_for_its_factor(tmp_path):
    path = network_file(tmp_path / "a.safetensors", random_network(3), 3)
    with pytest.raises(GeometryError, match="is a network for factor 3; enlarge 3 times"):
        chosen_kernel(path, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (removed("trunk.0.weight"), "lacks the tensor trunk.1.weight|has 0 channels"),
        (removed("trunk.1.shift"), "lacks the tensor trunk.1.shift"),
        (removed("detail.offset"), "lacks the tensor detail.offset"),
        (removed("linear.weight"), "lacks the tensor linear.weight"),
        (lambda tensors: tensors.update({"extra\n": np.zeros(1)}), r"has the tensor 'extra\\n'"),
        (changed("trunk.0.bias", np.int64), r"trunk.0.bias is I64 \(6,\), not I32 \(6,\)"),
        (changed("trunk.1.weight", lambda weight: weight[:, :3]), r"trunk.1.weight is I8 \(6, 3, 3, 3\), not"),
        (changed("detail.weight", lambda weight: weight[..., :-1]), "detail.weight is I8"),
        (changed("linear.weight", lambda weight: weight[..., 1:]), "linear.weight is I16"),
        (changed("trunk.0.weight", first_is(127)), "a filter of trunk.0.weight does not sum to 0"),
        (changed("trunk.1.weight", first_is(-128)), "trunk.1.weight has a weight of -128"),
        (changed("detail.weight", first_is(-128)), "detail.weight has a weight of -128"),
        (changed("trunk.1.shift", first_is(25)), "trunk.1.shift is 25, not 0 to 24"),
        (changed("detail.offset", lambda offset: offset + 1), "does not make the detail of a flat area 0"),
        (changed("linear.weight", lambda weight: weight + np.int16(1)), r"does not sum to 2\*\*11"),
        (louder_linear, "its sums reach .* not exact"),
        (too_loud, "the sums of trunk.1 reach .* not exact in 24 bits"),
    ],
)
def test_a_broken_promise_is_one_line(change, message, tmp_path):
    tensors = random_network(2)
    change(tensors)
    path = network_file(tmp_path / "a.safetensors", tensors, 2)
    with pytest.raises(UsageError, match=f"^kernel .*a.safetensors: .*{message}") as raised:
        chosen_kernel(path, 2)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"version": 2}, "is a network of version 2"),
        ({"factor": 5}, "is a network for factor 5, not for 2, 3 or 4"),
        ({"factor": True}, "is a network for factor True"),
        ({"factor": "9" * 5000}, "is a network for factor '9999"),
        ({"bits": "2"}, "divides sums by 2 to the power '2'"),
        ({"bits": 0}, "divides sums by 2 to the power 0"),
        ({"bits": 2.0}, "divides sums by 2 to the power 2.0"),
        ({"bits": 12}, r"does not sum to 2\*\*12"),
        ({"factor": 3}, "detail.offset is I32"),
    ],
)
def test_wrong_metadata_is_one_line(about, message, tmp_path):
    path = network_file(tmp_path / "a.safetensors", random_network(2), 2, **about)
    with pytest.raises(UsageError, match=message) as raised:
        chosen_kernel(path, 2)
    assert len(str(raised.value)) < 400


def test_a_large_network_is_refused_before_it_is_read(tmp_path):
    """The header announces more than the file holds, and more layers and channels than are allowed."""
    wide = random_network(2, 33, 1)
    deep = random_network(2, 1, 9)
    for tensors, message in ((wide, "has 33 channels, not 1 to 32"), (deep, "has a trunk of 9 layers, not of 1 to 8")):
        path = network_file(tmp_path / "a.safetensors", tensors, 2)
        with pytest.raises(UsageError, match=message):
            chosen_kernel(path, 2)
    header = {
        "__metadata__": {"upsample-cli": '{"format": "upsample-net", "version": 1, "factor": 2, "bits": 11}'},
        "trunk.0.weight": {"dtype": "I8", "shape": [2**20, 2**20], "data_offsets": [0, 2**40]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "bomb.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(UsageError, match=r"bomb\.safetensors: is damaged"):
        chosen_kernel(str(tmp_path / "bomb.safetensors"), 2)


def test_a_changed_file_is_read_again(tmp_path):
    place = tmp_path / "a.safetensors"
    before = chosen_kernel(network_file(place, random_network(2, 2), 2), 2)
    after = chosen_kernel(network_file(place, random_network(2, 3), 2), 2)
    assert before != after
