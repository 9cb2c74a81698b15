"""The network in training: its file against an oracle in whole numbers, and training that can be resumed."""

import contextlib
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file
from support.network_files import expected

from upsample_cli.errors import ImageError, UpsampleError, UsageError
from upsample_cli.quality.degrade import Degradation, degraded
from upsample_cli.quality.network.file import whole_tensors, write_network
from upsample_cli.quality.network.fit import Plan, enlarged, split_photos, training_of
from upsample_cli.quality.network.model import Network, Shape, grid_for, shape_for
from upsample_cli.quality.network.saved import Saved, finish, unfinished_path
from upsample_cli.quality.network.train import Schedule
from upsample_cli.quality.photos import read_photos
from upsample_cli.signals import stop_by_signals


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_network(factor, seed=0):
    torch.manual_seed(seed)
    linear = torch.rand(factor**2, 1, 7, 7) * 0.1 - 0.02
    linear[:, 0, 3, 3] += 1 - linear.sum((1, 2, 3))
    network = Network(shape_for(factor), linear)
    torch.nn.init.normal_(network.detail.weight, std=0.02)
    low = torch.from_numpy(padded(photo(factor, side=60), network.shape.reach).astype(np.float32))
    network.grid = grid_for(network, low[None, None])
    return network


def photo(seed, side=31):
    return np.random.default_rng(seed).integers(0, 256, (side + 9, side), dtype=np.uint8)


def padded(image, margin):
    return np.pad(image, margin, mode="edge")


NETWORK = random_network(2)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_file_gives_the_pixels_of_training(factor, tmp_path):
    network, low, path = random_network(factor), photo(7), tmp_path / "a.safetensors"
    write_network(network, path, {}, overwrite=False)
    made = enlarged(low, network)
    assert np.array_equal(made, expected(path, low[..., None], factor)[..., 0])
    tensors = whole_tensors(network)
    tensors["trunk.1.weight"][3, 4, 1, 1] ^= 64
    save_file(tensors, path)
    assert not np.array_equal(made, expected(path, low[..., None], factor)[..., 0])


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_flat_images_stay_flat(factor, is_whole):
    network = random_network(factor)
    if not is_whole:
        network.grid = None
    for level in (0, 1, 100, 254, 255):
        low = np.full((7, 6), level, np.uint8)
        assert (enlarged(low, network) == level).all()
    network.linear[0, 0, 0, 0] += 0.5
    assert (enlarged(np.full((7, 6), 100, np.uint8), network) != 100).any() == (not is_whole)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 120))
def test_filters_of_the_first_layer_sum_to_0_after_rounding(seed, size):
    network = NETWORK
    with torch.no_grad():
        torch.nn.init.normal_(network.trunk[0].weight, std=size / 100, generator=torch.Generator().manual_seed(seed))
    weight, _ = network.weights(0)
    assert torch.equal(weight, weight.round())
    assert not weight.sum((1, 2, 3)).any()
    assert weight.abs().max() <= 127


def photographs(folder, box):
    for name in ("coffee.png", "chelsea.png"):
        with Image.open(Path(skimage.data.__file__).parent / name) as image:
            image.crop(box).save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path):
    return photographs(tmp_path, (100, 60, 240, 190))


def plan_of(steps=6, whole=3, rate=1e-3):
    return Plan(Shape(2), (Degradation("bicubic"),), Schedule(steps, whole, rate))


def prepared(folder, plan):
    split = split_photos(read_photos(sorted(folder.glob("*.png")), plan.recipe))
    return split, training_of(split, plan)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_patch_is_the_reduction_of_its_original(factor, tmp_path):
    """Also mixtures and negatives, at every scale and place of the grid. Up to three roundings, one after the other."""
    plan = Plan(Shape(factor), (Degradation("bicubic"),), Schedule(6, 3))
    _, training = prepared(photographs(tmp_path, (0, 0, 85 * factor, 75 * factor)), plan)
    reach, rim = plan.shape.reach, 4  # of the rim, the reduction needs pixels outside the patch
    errors, shifted = [], []
    for _ in range(6):
        for low, high, _ in zip(*training.patches.batch(), strict=True):
            reduced = [
                degraded(np.rint(image).astype(np.uint8), factor, Degradation("bicubic"))[rim:-rim, rim:-rim]
                for image in (high[0].numpy(), np.roll(high[0].numpy(), 1, axis=1))
            ]
            inner = low[0, reach + rim : -reach - rim, reach + rim : -reach - rim].numpy()
            errors.append(abs(reduced[0] - inner).mean())
            shifted.append(abs(reduced[1] - inner).mean())
    assert max(errors) < 3 * 0.5
    assert np.mean(shifted) > 4 * np.mean(errors)  # the control


def test_training_reduces_the_error_of_the_linear_kernel(folder):
    def losses(rate):
        _, training = prepared(folder, plan_of(100, 1, rate))
        batch = training.patches.batch()
        training.patches.batch = lambda: batch
        return [training.advance() for _ in range(80)]

    trained = losses(1e-3)
    assert trained[-1] < 0.95 * trained[0]
    assert losses(0.0)[-1] > 0.99 * trained[0]


def test_a_resumed_training_gives_the_same_network(folder, tmp_path):
    plan = plan_of()
    split, whole = prepared(folder, plan)
    finish(whole, Saved(tmp_path / "a", split, plan), lambda _count: None)
    for stop in (2, 7):  # in real and in whole numbers
        _, first = prepared(folder, plan)
        for _ in range(stop):
            first.advance()
        saved = Saved(tmp_path / "b", split, plan)
        saved.save(first)
        _, second = prepared(folder, plan)
        saved.restore(second)
        finish(second, saved, lambda _count: None)
        expected, found = (whole_tensors(training.averaged()) for training in (whole, second))
        assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_an_interrupted_training_is_saved(folder, tmp_path):
    plan = plan_of()
    split, training = prepared(folder, plan)
    saved = Saved(tmp_path / "state", split, plan)

    def stop(_count):
        if training.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(training, saved, stop)
    _, again = prepared(folder, plan)
    saved.restore(again)
    assert again.step == 4


def test_a_training_stopped_within_a_batch_gives_the_same_network(folder, tmp_path, monkeypatch):
    """A signal is sent between the two changes of a batch: of the weights, and of their average."""
    plan = plan_of()
    split, whole = prepared(folder, plan)
    finish(whole, Saved(tmp_path / "whole", split, plan), lambda _count: None)

    def network_after_stop(path):
        _, first = prepared(folder, plan)
        optimize = first._optimizer.step

        def stop_in_the_third(*args):
            optimize(*args)
            if first.step == 2:
                os.kill(os.getpid(), signal.SIGINT)

        first._optimizer.step = stop_in_the_third
        saved = Saved(path, split, plan)
        with stop_by_signals(), pytest.raises(KeyboardInterrupt):
            finish(first, saved, lambda _count: None)
        _, second = prepared(folder, plan)
        saved.restore(second)
        finish(second, saved, lambda _count: None)
        return whole_tensors(second.averaged())

    expected = whole_tensors(whole.averaged())
    found = network_after_stop(tmp_path / "stopped")
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    monkeypatch.setattr("upsample_cli.quality.network.saved.interrupt_deferred", contextlib.nullcontext)
    control = network_after_stop(tmp_path / "control")
    assert any(not np.array_equal(expected[name], control[name]) for name in expected)


def test_a_training_that_cannot_be_saved_fails_before_its_first_batch(folder, tmp_path):
    plan = plan_of()
    split, training = prepared(folder, plan)
    (tmp_path / "planted").symlink_to(tmp_path / "elsewhere")  # a link to a missing file looks like no file
    long = unfinished_path(tmp_path / f"{'n' * 240}.safetensors")  # the output itself is short enough
    for path, cause in ((long, "longer than the file system allows"), (tmp_path / "planted", "is a symbolic link")):
        with pytest.raises(ImageError, match=cause):
            finish(training, Saved(path, split, plan), lambda _count: None)
    assert training.step == 0
    assert not (tmp_path / "elsewhere").exists()


def test_a_finished_training_is_not_lost_if_its_network_cannot_be_written(folder, tmp_path):
    plan = plan_of()
    split, training = prepared(folder, plan)
    saved = Saved(tmp_path / "state", split, plan)
    finish(training, saved, lambda _count: None)
    _, again = prepared(folder, plan)
    saved.restore(again)
    assert again.step == plan.schedule.total
    expected, found = (whole_tensors(one.averaged()) for one in (training, again))
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_another_training_is_not_continued(folder, tmp_path):
    plan = plan_of()
    split, training = prepared(folder, plan)
    Saved(tmp_path / "state", split, plan).save(training)
    with pytest.raises(UsageError, match="of other photographs or settings"):
        Saved(tmp_path / "state", split, plan_of(steps=7)).restore(training)
    (tmp_path / "state").write_bytes(b"not a training")
    with pytest.raises(ImageError, match="damaged"):
        Saved(tmp_path / "state", split, plan).restore(training)


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", "4"), ("step", -(10**9)), ("step", 10**9), ("average", {}), ("average", None), ("grid", [[], [], 3])],
)
def test_a_replaced_state_is_refused(name, value, folder, tmp_path):
    plan = plan_of()
    split, training = prepared(folder, plan)
    for _ in range(7):
        training.advance()
    saved = Saved(tmp_path / "state", split, plan)
    saved.save(training)
    content = torch.load(tmp_path / "state", weights_only=True)
    torch.save(content, tmp_path / "state")
    saved.restore(training)  # control: the same state
    content["state"][name] = value
    torch.save(content, tmp_path / "state")
    with pytest.raises(ImageError, match="is not an unfinished training, or is damaged; remove it"):
        saved.restore(training)


def test_a_state_of_weights_that_are_not_finite_is_refused(folder, tmp_path):
    plan = plan_of()
    split, training = prepared(folder, plan)
    saved = Saved(tmp_path / "state", split, plan)
    next(iter(training.network.parameters())).data.fill_(torch.nan)
    saved.save(training)
    with pytest.raises(ImageError, match="damaged"):
        saved.restore(training)


def test_a_pipe_or_a_small_file_of_many_bytes_is_not_an_unfinished_training(folder, tmp_path, monkeypatch):
    plan = plan_of()
    split, training = prepared(folder, plan)
    os.mkfifo(tmp_path / "pipe")
    saved = Saved(tmp_path / "pipe", split, plan)
    with pytest.raises(ImageError, match="pipe: is not an unfinished training"):
        saved.restore(training)
    monkeypatch.setattr("upsample_cli.kernels.weights.torch_archives.MOST_UNPACKED", 2**16)
    plain = tmp_path / "plain"
    torch.save({"mark": saved._mark, "state": training.state(), "zeros": torch.zeros(2**20)}, plain)
    with zipfile.ZipFile(plain) as read, zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as packed:
        for record in read.infolist():
            packed.writestr(record.filename, read.read(record))
    with pytest.raises(ImageError, match="bomb: is not an unfinished training"):
        Saved(tmp_path / "bomb", split, plan).restore(training)


def test_small_images_are_refused(tmp_path):
    Image.fromarray(photo(0, side=60)).save(tmp_path / "small.png")
    with pytest.raises(UpsampleError, match="no image is large enough to train on"):
        prepared(tmp_path, plan_of())
