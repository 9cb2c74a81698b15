"""Weight files from an attacker: small files that claim to be large. Each ends in one line, quickly."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from safetensors.torch import save_file

from upsample_cli.errors import UpsampleError, UsageError
from upsample_cli.kernels.choice import chosen_kernel
from upsample_cli.kernels.weights import pickle_bounds
from upsample_cli.kernels.weights.files import read_weights
from upsample_cli.tconv import weights as written_weights

GIB = 2**30


def text(word):
    """Pickle instructions for a string."""
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def number(value):
    return pickle.dumps(value, protocol=2)[2:-1]


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def call(name, *arguments):
    """Instructions that call a function with the results of other instructions."""
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n(".encode() + b"".join(arguments) + b"tR"


def tensor(sizes, strides, *, record="0", count=16):
    """Instructions for a float32 tensor in a record."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(record) + text("cpu") + number(count) + b"tQ"
    given = storage, number(0), numbers(sizes), numbers(strides), b"\x89", call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", *given)


WHOLE = text("up.weight") + tensor((1, 1, 4, 4), (16, 16, 4, 1))


def pickled(*more):
    """A dictionary with a weight in it, and the results of further instructions."""
    return b"\x80\x02}(" + WHOLE + text("more") + b"(" + b"".join(more) + b"tu."


def archive(path, content, *, method=zipfile.ZIP_STORED, records=()):
    with zipfile.ZipFile(path, "w", method) as made:
        for name, record in (("data.pkl", content), ("version", "3\n"), ("data/0", bytes(64)), *records):
            made.writestr(f"a/{name}", record)


def shared_dictionaries(path):
    inner = {"other": 1}
    for _ in range(60):
        inner = {"a": inner, "b": inner}
    torch.save({"up.weight": torch.full((1, 1, 4, 4), 0.25), "more": inner}, path)


def circle(path):
    whole = {"up.weight": torch.full((1, 1, 4, 4), 0.25)}
    whole["again"] = whole
    torch.save(whole, path)


def deep_names(path):
    archive(path, b"\x80\x02" + (b"}" + text("name")) * 20_000 + b"}" + b"s" * 20_000 + b".")


def two_directories(path):
    """An archive with a comment after its directory, in which another reader may find another directory."""
    archive(path, pickled())
    with zipfile.ZipFile(path, "a") as made:
        made.comment = b"more"


def expanded(path):
    torch.save({"up.weight": torch.ones(1).expand(1024, 1024, 1024, 1024)}, path)


def expanded_bias(path):
    torch.save({"up.weight": torch.ones(1, 1, 4, 4), "up.bias": torch.zeros(1).expand(2**40)}, path)


def legacy(path, *changed):
    torch.save({"up.weight": torch.full((1, 1, 4, 4), 0.25)}, path, _use_new_zipfile_serialization=False)
    for old, new in changed:
        path.write_bytes(path.read_bytes().replace(old, new))


def sparse_file(path, head, length=64 * GIB):
    """A file with a real length that takes almost no disk space."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(length)


def npy(shape, version=1, described="<f4"):
    header = repr({"descr": described, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", len(header)) + header


def tensors(shape, *, kind="F32", length=None, end=64):
    header = json.dumps({"up.weight": {"dtype": kind, "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + bytes(64)


LIST = b"](" + b"K\x01" * 100_000 + b"eq\x01"
COPIES = LIST + b"".join(call("builtins.set", b"h\x01") for _ in range(2000))
HASHED = b")q\x02" + b"h\x02h\x02\x86q\x02" * 64 + b"}h\x02Ns"
CODED = text("x" * 1_000_000) + b"q\x01" + call("_codecs.encode", b"h\x01", text("utf-32")) * 2000
INDIRECT = b"ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nbytearray\nctorch\nTensor\n" + numbers([2**40]) + b"}tR"
APART = call("builtins.set", tensor((2**40,), (0,)))
LAYOUT = call("torch.serialization._get_layout", text("torch.sparse_coo"))
PLACES = b"(" + tensor((1, 2**40), (0, 0)) + tensor((2**40,), (0,)) + numbers([1]) + b"\x88t"
TWICE = tensor((4, 4), (4, 1), record="a"), tensor((4, 4), (4, 1), record="A")
UNBOUNDED = "it would make 8388608 values or more out of few"


def inflated(path, count, content=b""):
    """A compressed .pt with this many records of 64 MiB."""
    records = [(f"data/{index}", bytes(2**26)) for index in range(1, count + 1)]
    archive(path, pickled(content), method=zipfile.ZIP_DEFLATED, records=records)


def sparse_tensors(path):
    header = tensors([1, 1, 2**16, 2**16], end=2**34)[:-64]
    sparse_file(path, header, len(header) + 2**34)


def copies_of_old(path):
    legacy(path, (b"\x80\x02}q\x00X", b"\x80\x02" + COPIES + b"0" * 2001 + b"}q\x00X"))


FILES = {
    "shared.pt": (shared_dictionaries, None),
    "circle.pt": (circle, None),
    "names.pt": (deep_names, "the names in it have more than"),
    "inflated.pt": (lambda path: inflated(path, 0), None),
    "inflated_more.pt": (lambda path: inflated(path, 5), "its records are more than 256 MiB larger than the file"),
    "inflated_pickle.pt": (lambda path: inflated(path, 0, b"N" * 2**27), "its pickle has more than 64 MiB"),
    "copies.pt": (lambda path: archive(path, pickled(COPIES)), UNBOUNDED),
    "hashed.pt": (lambda path: archive(path, pickled(HASHED)), UNBOUNDED),
    "bytes.pt": (lambda path: archive(path, pickled(call("builtins.bytearray", number(2**36)))), UNBOUNDED),
    "indirect.pt": (lambda path: archive(path, pickled(INDIRECT)), UNBOUNDED),
    "coded.pt": (lambda path: archive(path, pickled(CODED)), UNBOUNDED),
    "apart.pt": (lambda path: archive(path, pickled(APART)), UNBOUNDED),
    "hollow.pt": (
        lambda path: archive(path, pickled(call("torch._utils._rebuild_sparse_tensor", LAYOUT, PLACES))),
        UNBOUNDED,
    ),
    "many.pt": (lambda path: archive(path, pickled(b"N" * 2_000_000)), "more than 1048576 instructions"),
    "twice.pt": (lambda path: archive(path, pickled(*TWICE)), "it names one storage in two ways"),
    "case.pt": (lambda path: archive(path, pickled(), records=[("DATA.PKL", b"N.")]), "have the same name"),
    "comment.pt": (two_directories, "its directory is not where torch.save writes it"),
    "cut.pt": (lambda path: path.write_bytes(b"PK\x03\x04"), "its directory is not where torch.save writes it"),
    "program.pt": (
        lambda path: archive(path, pickled(), records=[("constants.pkl", b"N.")]),
        "it is a program of TorchScript",
    ),
    "beyond.pt": (
        lambda path: archive(path, b"\x80\x02}" + text("w") + tensor((9, 9, 9, 9), (0, 0, 0, 2**40)) + b"s."),
        "is damaged",
    ),
    "expanded.pt": (expanded, "has 1099511627776 numbers; give 67108864 at the most"),
    "expanded_bias.pt": (expanded_bias, "the weight up.bias has 1099511627776 numbers"),
    "legacy.pt": (legacy, None),
    "legacy_copies.pt": (copies_of_old, UNBOUNDED),
    "legacy_hole.pt": (lambda path: sparse_file(path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."), "is damaged"),
    "tar.pt": (lambda path: path.write_bytes(b"sys_info".ljust(512, b"\0")), "it is not a file of torch.save"),
    "hole.npy": (lambda path: sparse_file(path, npy((1, 1, 2**16, 2**16))), "has 4294967296 numbers"),
    "lies.npy": (lambda path: path.write_bytes(npy((1, 1, 4096, 4096))), "it ends before its last number"),
    "overflows.npy": (lambda path: path.write_bytes(npy((2**32, 2**32, 1))), "has 18446744073709551616 numbers"),
    "negative.npy": (lambda path: path.write_bytes(npy((1, 1, -1))), "it holds no plain numbers"),
    "wide.npy": (lambda path: sparse_file(path, npy((1, 1, 1), described="|V2147483647")), "it holds no plain numbers"),
    "header.npy": (lambda path: sparse_file(path, npy((1, 1, 1), version=2)[:8] + b"\xff" * 4), "is damaged"),
    "hole.safetensors": (sparse_tensors, "the weight up.weight has 4294967296 numbers"),
    "lies.safetensors": (lambda path: path.write_bytes(tensors([1, 1, 2**30, 4])), "is damaged"),
    "header.safetensors": (
        lambda path: sparse_file(path, tensors([1, 1, 4, 4], length=2**26)),
        "its header has 67108864 bytes",
    ),
    "four_bits.safetensors": (
        lambda path: path.write_bytes(tensors([1, 1, 8, 16], kind="F4")),
        "is not a plain tensor",
    ),
    "pipe.npy": (os.mkfifo, "is not a regular file"),
    "pipe.pt": (os.mkfifo, "is not a regular file"),
    "device.safetensors": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
}
"""A function that makes each file, and a part of its error; None if the weight in the file can be read."""

READ = """
import json, resource, sys, time
import torch
from upsample_cli.errors import UpsampleError
from upsample_cli.kernels.choice import chosen_kernel
outcomes = {}
for path in sys.argv[1:]:
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        message = chosen_kernel(path, 2).kernel_size
    except UpsampleError as error:
        message = str(error)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes[path] = message, time.process_time() - begun, (after - before) * 1024
    print(json.dumps([path, *outcomes[path]]), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and sparse files")
def test_every_hostile_file_is_one_line_in_bounded_time_and_memory(tmp_path):
    for name, (make, _) in FILES.items():
        make(tmp_path / name)
    ran = subprocess.run(
        [sys.executable, "-c", READ, *FILES], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stderr == ""
    outcomes = {
        name: (message, seconds, more) for name, message, seconds, more in map(json.loads, ran.stdout.splitlines())
    }
    assert list(outcomes) == list(FILES)
    for name, (message, seconds, more) in outcomes.items():
        expected = FILES[name][1]
        assert (
            (message == 4) if expected is None else (expected in message and "\n" not in message and len(message) < 500)
        ), name
        assert seconds < 10, name
        assert more < 700 * 2**20, name


@pytest.fixture
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_tmp")
def test_common_checkpoints_are_read_as_by_torch():
    """The control for the counting: everything that checkpoints contain apart from tensors, often repeated."""
    module = torch.nn.Sequential(torch.nn.ConvTranspose2d(3, 3, 4), torch.nn.BatchNorm2d(3))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.zeros(1, 3, 2, 2)).sum().backward()
    optimizer.step()
    marked = torch.ones(2, 2)
    marked.origin = "a tensor with an attribute"
    whole = {
        "model": module.state_dict(),
        "ema": {name: value.clone() for name, value in module.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "tied": [module[0].weight] * 3,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "marked": marked,
        "random": torch.get_rng_state(),
        "vocabulary": {f"word {number}": number for number in range(30_000)},
        "merges": {(str(number), "b"): number for number in range(1000)},
        ("a", 1): {1, 2, 3},
        "bytes": b"\0\xff" * 500_000,
        "others": [bytearray(9), 1 + 2j, torch.Size([3, 4]), torch.device("cpu"), torch.float16, 2**70, None, True, ""],
        "sparse": torch.eye(30).to_sparse(),
    }
    for name, settings in {"new.pt": {}, "old.pt": {"_use_new_zipfile_serialization": False}}.items():
        torch.save(whole, name, **settings)
        read = read_weights(f"{name}:model.0.weight")
        assert np.array_equal(read.weight, module[0].weight.detach().numpy())
        assert read.bias.shape == (3,)
        assert {"ema.0.weight", "optimizer.state.0.exp_avg", "parameter", "marked", "random"} <= set(read.state)
        assert torch.equal(read.state["random"], whole["random"])
    with zipfile.ZipFile("new.pt") as stored, zipfile.ZipFile("packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for record in stored.infolist():
            packed.writestr(record.filename, stored.read(record))
    assert np.array_equal(read_weights("packed.pt:model.0.weight").weight, read.weight)


@pytest.mark.usefixtures("_in_tmp")
def test_a_tensor_with_two_names_keeps_both_and_a_dictionary_keeps_the_first():
    weight = torch.full((1, 1, 4, 4), 0.25)
    shared = {"weight": weight}
    torch.save({"a": weight, "b": weight, "first": shared, "second": shared}, "tied.pt")
    assert set(read_weights("tied.pt:b").state) == {"a", "b", "first.weight"}


@pytest.mark.usefixtures("_in_tmp")
@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (torch.tensor([float("nan")]), "up.bias holds infinities or NaN"),
        (torch.tensor(1.0), "up.bias is not a bias: it has 0 axes"),
        (torch.ones(1, 1), "up.bias is not a bias: it has 2 axes"),
        (torch.tensor([1e300], dtype=torch.float64), "up.bias holds numbers above 1e+100"),
        (torch.tensor([1j]), "up.bias is of type torch.complex64"),
    ],
)
def test_a_bias_is_checked_like_a_weight(bias, message):
    torch.save({"up.weight": torch.ones(1, 1, 4, 4), "up.bias": bias}, "up.pt")
    with pytest.raises(UpsampleError, match=message.replace("+", r"\+")):
        read_weights("up.pt")


@pytest.mark.usefixtures("_in_tmp")
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.bool])
def test_number_types_missing_from_numpy_are_read_in_both_formats(kind):
    weight = torch.tensor([0.0, 1, 1, 0]).repeat(4).reshape(1, 1, 4, 4).to(kind)
    torch.save({"w": weight}, "w.pt")
    save_file({"w": weight}, "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        if kind == torch.bool and name == "w.safetensors":
            with pytest.raises(UsageError, match="is of type bool"):
                read_weights(name)
        else:
            assert read_weights(name).weight.tolist() == weight.double().tolist()


class Panic(BaseException):
    """PyO3 turns a panic in Rust into this."""


@pytest.mark.usefixtures("_in_tmp")
def test_a_panic_in_a_library_is_one_line_and_ctrl_c_is_raised(monkeypatch):
    save_file({"w": torch.ones(1, 1, 4, 4)}, "w.safetensors")

    def panic(*_):
        raise raised

    monkeypatch.setattr(safetensors, "safe_open", panic)
    raised = Panic("index out of bounds:\n the len is 0")
    with pytest.raises(
        UsageError, match=r"^kernel w\.safetensors: is damaged, or not what its name says: index out of bounds: the"
    ):
        chosen_kernel("w.safetensors", 2)
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        chosen_kernel("w.safetensors", 2)


@pytest.mark.usefixtures("_in_tmp")
def test_one_of_many_keys_is_found_and_the_error_lists_only_a_few(tmp_path):
    places = {f"{number} \x1b[31m\n{'k' * 99}": [4 * number, 4 * number + 4] for number in range(20_000)}
    header = {key: {"dtype": "F32", "shape": [1, 1, 1], "data_offsets": place} for key, place in places.items()}
    encoded = json.dumps(header).encode()
    (tmp_path / "many.safetensors").write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(80_000))
    with pytest.raises(UsageError) as raised:
        read_weights("many.safetensors")
    assert "there are 20000 weights in it" in str(raised.value)
    assert len(str(raised.value)) < 800
    assert read_weights(f"many.safetensors:{next(iter(header))}").weight.tolist() == [[[0.0]]]


@pytest.mark.usefixtures("_in_tmp")
def test_a_file_too_large_to_rewrite_is_refused(monkeypatch):
    torch.save({"w": torch.ones(1, 1, 4, 4)}, "w.pt")
    read = read_weights("w.pt")
    monkeypatch.setattr(written_weights, "_MOST_BYTES", 100)
    with pytest.raises(UsageError, match="is not written again; save the layer's weight in a file of its own"):
        written_weights.write_weights(read, read.weight, Path("cured.pt"))
    assert not Path("cured.pt").exists()


def test_every_call_that_torch_allows_in_a_checkpoint_is_counted():
    """A call that torch adds is refused until its cost is known, and this test then fails."""
    from torch._weights_only_unpickler import _get_allowed_globals

    called = {name for name, function in _get_allowed_globals().items() if callable(function) and "Storage" not in name}
    known = pickle_bounds._VIEWS | pickle_bounds._WRAPPERS | pickle_bounds._COPIES | {pickle_bounds._FROM_TYPE}
    refused = {
        "torch._utils._rebuild_nested_tensor",
        "torch._utils._rebuild_wrapper_subclass",
        "torch._utils._rebuild_device_tensor_from_numpy",
        "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    }
    assert {name for name in called if not name.endswith("Tensor")} - known <= refused


def test_a_kernel_far_larger_than_any_factor_needs_is_refused(tmp_path):
    """A file of 1.5 kB can stand for 2048 taps a side, which take minutes to expand."""
    np.save(tmp_path / "wide.npy", np.full((1, 1, 258, 258), 4 / 258**2))
    np.save(tmp_path / "fits.npy", np.full((1, 1, 4, 4), 4 / 4**2))
    with pytest.raises(UsageError, match="kernel_size 258 is too large; give 256 at the most"):
        chosen_kernel(str(tmp_path / "wide.npy"), 2)
    assert chosen_kernel(str(tmp_path / "fits.npy"), 2).kernel_size == 4
