"""The transform for torchvision: images are those of the command, and coordinates follow torchvision's own resize."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.corpus import png
from support.oracles import assert_same_pixels, expected_pixels, hostile_pixels
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from upsample_cli import upsample, upsample_file
from upsample_cli.errors import UsageError
from upsample_cli.images.open import open_image
from upsample_cli.transforms import Upsample

FORMATS = list(tv_tensors.BoundingBoxFormat)


def planes(pixels):
    """(H, W, C) as a tensor (C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def pixels_of(path):
    with open_image(path) as source:
        return source.read_rows(0, source.info.height).copy()


@pytest.mark.parametrize(("dtype", "depth"), [(np.uint8, 8), (np.uint16, 16)])
@pytest.mark.parametrize("settings", [{}, {"kernel": "bicubic", "border": "reflect"}])
def test_pixels_are_those_of_the_command(dtype, depth, settings, tmp_path):
    pixels = hostile_pixels((13, 17, 3), dtype)
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(
        png(13, 17, depth, 2, b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels))
    )
    upsample_file(source, target, 3, **settings)
    found = Upsample(3, **settings)(tv_tensors.Image(planes(pixels)))
    assert type(found) is tv_tensors.Image
    assert found.dtype == getattr(torch, np.dtype(dtype).name)
    assert torch.equal(found, planes(pixels_of(target)))
    theirs = functional.interpolate(planes(pixels)[None].float(), scale_factor=3, mode="bilinear")[0]
    assert not torch.equal(found, theirs.to(found.dtype))  # the control: cut off, not rounded half up


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_pillow_image_keeps_its_mode_and_premultiplies_by_its_alpha(mode):
    dtype, channels = (np.uint16, 1) if mode == "I;16" else (np.uint8, len(mode))
    pixels = hostile_pixels((5, 7, channels), dtype)
    image = Image.frombytes(mode, (7, 5), pixels.tobytes())
    image.info["dpi"] = (300, 300)
    found = Upsample(2)(image)
    assert (type(found), found.mode, found.size, found.info) == (Image.Image, mode, (14, 10), {"dpi": (300, 300)})
    expected = expected_pixels(pixels, 2, has_alpha=mode in ("LA", "RGBA"))
    assert_same_pixels(np.asarray(found).reshape(10, 14, channels), expected)
    if mode.endswith("A"):  # the control
        assert not np.array_equal(expected, expected_pixels(pixels, 2))


def test_a_floating_point_pillow_image_is_enlarged_and_other_modes_are_refused():
    values = np.array([[0, 1], [-3, 1e9]], np.float32)
    assert np.array_equal(np.asarray(Upsample(2)(Image.fromarray(values))), upsample(values, 2))
    for mode in ("1", "P", "PA", "I", "YCbCr", "LAB", "HSV", "RGBX", "RGBa"):
        with pytest.raises(
            UsageError, match=rf"^a Pillow image of mode {mode} cannot .*; convert it to one of L, LA, "
        ):
            Upsample(2)(Image.new(mode, (3, 3)))


KINDS = [torch.Tensor, tv_tensors.Image, tv_tensors.Video]
SHAPES = [(3, 4, 6), (2, 3, 4, 6), (0, 3, 4, 6), (2, 5, 3, 4, 6), (1, 1, 2, 3, 4, 6)]


@pytest.mark.parametrize(("kind", "shape"), [(kind, shape) for kind in KINDS for shape in SHAPES[kind is KINDS[2] :]])
def test_leading_dimensions_are_a_batch(shape, kind):
    pixels = torch.from_numpy(hostile_pixels(shape, np.uint8))
    found = Upsample(2)(pixels if kind is torch.Tensor else kind(pixels))
    assert type(found) is kind
    assert found.shape == (*shape[:-2], 8, 12)
    flat = found.reshape(-1, 3, 8, 12)
    for image, enlarged in zip(pixels.reshape(-1, 3, 4, 6), flat, strict=True):
        assert torch.equal(enlarged, upsample(image, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_point_images_keep_their_type(dtype):
    image = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = Upsample(2)(image)
    assert found.dtype == dtype
    computed = torch.float64 if dtype == torch.float64 else torch.float32
    assert torch.equal(found, upsample(image.to(computed), 2).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.uint16, torch.int64, torch.float16])
@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (2, 5, 4, 6)])
def test_a_mask_repeats_every_pixel(dtype, shape):
    mask = tv_tensors.Mask(torch.arange(4 * 6).reshape(4, 6).remainder(2 if dtype == torch.bool else 99).to(dtype))
    mask = tv_tensors.Mask(mask.expand(shape))
    found = Upsample(3, kernel="bicubic")(mask)
    assert (type(found), found.dtype, found.shape) == (tv_tensors.Mask, dtype, (*shape[:-2], 12, 18))
    for row in range(12):
        for column in range(18):
            assert torch.equal(found[..., row, column], mask[..., row // 3, column // 3])
    if dtype in (torch.uint8, torch.int64):
        assert torch.equal(found, v2.functional.resize(mask, [12, 18]))


def boxes(draw_format, numbers, canvas, clamping_mode="soft"):
    return tv_tensors.BoundingBoxes(numbers, format=draw_format, canvas_size=canvas, clamping_mode=clamping_mode)


SIDE = st.integers(1, 3000)
FACTOR = st.integers(1, 64)
WHOLE_BOX = st.tuples(*[st.integers(-50, 5000)] * 4)


@given(FACTOR, SIDE, SIDE, st.lists(WHOLE_BOX, max_size=4), st.sampled_from(["XYXY", "XYWH", "CXCYWH"]))
def test_boxes_are_those_of_torchvision(factor, height, width, rows, name):
    numbers = torch.tensor(rows, dtype=torch.int64).reshape(-1, 4)
    for dtype in (torch.int64, torch.float64):
        given_boxes = boxes(name, numbers.to(dtype), (height, width))
        found = Upsample(factor)(given_boxes)
        theirs = v2.functional.resize(given_boxes, [height * factor, width * factor])
        assert torch.equal(found, theirs)
        assert found.dtype == theirs.dtype == dtype
        assert (found.format, found.canvas_size) == (theirs.format, theirs.canvas_size)


def corners(found):
    return v2.functional.convert_bounding_box_format(found, new_format="XYXYXYXY").as_subclass(torch.Tensor)


@given(
    FACTOR,
    st.lists(st.tuples(*[st.floats(10, 900)] * 4, st.floats(-180, 180)), min_size=1, max_size=3),
    st.sampled_from(["XYWHR", "CXCYWHR", "XYXYXYXY"]),
)
def test_rotated_boxes_have_the_corners_of_torchvision_and_keep_their_angle(factor, rows, name):
    numbers = torch.tensor(rows, dtype=torch.float64)
    if name == "XYXYXYXY":
        numbers = corners(boxes("CXCYWHR", numbers, (1000, 2000), None))
    given_boxes = boxes(name, numbers, (1000, 2000), None)
    found = Upsample(factor)(given_boxes)
    theirs = v2.functional.resize(given_boxes, [1000 * factor, 2000 * factor])
    assert (found.format, found.canvas_size, found.clamping_mode) == (theirs.format, theirs.canvas_size, None)
    torch.testing.assert_close(corners(found), corners(theirs), rtol=1e-4, atol=1e-2 * factor)
    if name != "XYXYXYXY":
        assert torch.equal(found[:, 4], given_boxes[:, 4])
        assert torch.equal(found[:, :4], given_boxes[:, :4] * factor)


@given(FACTOR, SIDE, SIDE, st.lists(st.tuples(*[st.floats(-10, 5000, width=32)] * 2), min_size=1, max_size=4))
def test_keypoints_are_those_of_torchvision(factor, height, width, rows):
    for dtype in (torch.float32, torch.float64, torch.int32):
        points = tv_tensors.KeyPoints(torch.tensor(rows).to(dtype), canvas_size=(height, width))
        for shaped in (points, tv_tensors.wrap(points.reshape(1, -1, 1, 2), like=points)):
            found = Upsample(factor)(shaped)
            theirs = v2.functional.resize(shaped, [height * factor, width * factor])
            assert torch.equal(found, theirs)
            assert found.dtype == dtype
            assert found.canvas_size == theirs.canvas_size == (height * factor, width * factor)


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("kernel", ["bilinear", "nearest", "lanczos3"])
def test_a_keypoint_stays_at_its_pixel(factor, kernel):
    """The centroid of one bright pixel is at its centre, (x + 0.5, y + 0.5), before and after."""
    image = torch.zeros(1, 21, 31, dtype=torch.float64)
    image[0, 9, 14] = 1
    points = tv_tensors.KeyPoints([[14.5, 9.5]], canvas_size=(21, 31), dtype=torch.float64)
    found, moved = Upsample(factor, kernel=kernel)(tv_tensors.Image(image), points)
    weight = found[0] / found.sum()
    centroid = [float((weight.sum(axis) * (torch.arange(weight.shape[1 - axis]) + 0.5)).sum()) for axis in (0, 1)]
    assert centroid == pytest.approx(moved[0].tolist(), abs=1e-9)
    assert centroid != pytest.approx([14 * factor, 9 * factor], abs=0.4)  # the control: centres at whole numbers


def test_coordinates_that_their_type_cannot_hold_are_refused():
    for dtype, side in ((torch.uint8, 128), (torch.int16, 16384), (torch.uint16, 32768), (torch.float16, 32768)):
        points = tv_tensors.KeyPoints(torch.ones(1, 2, dtype=dtype), canvas_size=(9, side))
        name = str(dtype).removeprefix("torch.")
        with pytest.raises(UsageError, match=rf"^{name} cannot hold coordinates up to {2 * side}; convert them"):
            Upsample(2)(points)
        smaller = tv_tensors.wrap(points, like=points, canvas_size=(9, side // 2))
        assert Upsample(2)(smaller).tolist() == [[2, 2]]


def test_a_sample_is_treated_as_torchvision_treats_it():
    """One plain tensor is an image if there is no other; labels, arrays and unknown types of tensors pass through."""

    class Depths(tv_tensors.TVTensor):
        pass

    image, label = torch.ones(3, 2, 2, dtype=torch.uint8), torch.tensor([1, 2])
    depths, array = torch.ones(1, 2, 2).as_subclass(Depths), np.ones((2, 2, 3))
    transform = Upsample(2)
    enlarged, *others = transform(image, label, depths, array, "name")
    assert enlarged.shape == (3, 4, 4)
    assert all(found is given_one for found, given_one in zip(others, (label, depths, array, "name"), strict=True))
    sample = {"image": tv_tensors.Image(image), "more": [image, {"mask": tv_tensors.Mask(image)}]}
    found = transform(sample)
    assert found["image"].shape == found["more"][1]["mask"].shape == (3, 4, 4)
    assert found["more"][0] is image
    assert sample["image"].shape == (3, 2, 2)


def test_it_works_inside_compose_and_leaves_its_input_unchanged():
    image = tv_tensors.Image(torch.from_numpy(hostile_pixels((3, 4, 5), np.uint8)))
    before = image.clone()
    found = v2.Compose([Upsample(2), v2.ToDtype(torch.float32, scale=True)])(image)
    assert found.shape == (3, 8, 10)
    assert torch.equal(image, before)


def test_wrong_arguments_are_refused_when_it_is_made_and_wrong_images_when_it_is_used():
    for settings in (
        {"factor": 0},
        {"factor": 65},
        {"factor": 1.5},
        {"kernel": "cubic"},
        {"border": "edge"},
        {"factor": [2]},
        {"kernel": None},
        {"has_alpha": "no"},
    ):
        with pytest.raises(UsageError):
            Upsample(**settings)
    for image in (torch.ones(3, 4, 4, dtype=torch.int64), torch.ones(3), torch.ones(4, 4, dtype=torch.complex64)):
        with pytest.raises(UsageError):
            Upsample(2)(image)


def test_numbers_of_numpy_and_paths_are_plain_settings(tmp_path):
    np.save(tmp_path / "k.npy", np.ones((1, 1, 2, 2), np.float32))
    image = torch.from_numpy(hostile_pixels((3, 4, 5), np.uint8))
    transform = Upsample(np.uint8(2), kernel=tmp_path / "k.npy")
    assert torch.equal(transform(image), Upsample(2, kernel="nearest")(image))
    assert (type(transform.factor), type(transform.kernel)) == (int, str)


def test_alpha_of_a_tensor_is_premultiplied_if_it_is_named():
    pixels = hostile_pixels((5, 7, 4), np.uint8)
    for has_alpha in (False, True):
        found = Upsample(2, has_alpha=has_alpha)(tv_tensors.Image(planes(pixels)))
        assert torch.equal(found, planes(expected_pixels(pixels, 2, has_alpha=has_alpha)))


def test_its_text_names_its_settings_and_a_copy_computes_the_same():
    transform = Upsample(4, kernel="bicubic", border="reflect", has_alpha=True)
    assert repr(transform) == "Upsample(factor=4, kernel=bicubic, border=reflect, has_alpha=True)"
    image = torch.from_numpy(hostile_pixels((4, 3, 5), np.uint8))
    for made in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert repr(made) == repr(transform)
        assert torch.equal(made(image), transform(image))
    assert list(transform.parameters()) == []
    assert transform.state_dict() == {}


# -- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", ["replicate", "reflect", "zeros"])
@pytest.mark.parametrize(("kernel", "factor"), [("bilinear", 2), ("nearest", 3), ("lanczos3", 2), ("bilinear", 1)])
def test_an_image_that_requires_a_gradient_is_differentiable_with_the_same_values(border, kernel, factor):
    transform = Upsample(factor, kernel=kernel, border=border)
    image = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = transform(image)
    image.requires_grad_()
    found = transform(tv_tensors.Image(image))
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected, rtol=1e-14, atol=1e-14)
    cotangent = torch.randn(found.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(found, image, cotangent)
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    # the transform is linear: <gradient, direction> is <cotangent, transform(direction)>
    assert float((gradient * direction).sum()) == pytest.approx(float((cotangent * transform(direction)).sum()))
    with torch.no_grad():
        assert not transform(image).requires_grad
        assert torch.equal(transform(image), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_gradient_has_the_type_of_the_image(dtype):
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    found = Upsample(2)(image)
    found.sum().backward()
    assert found.dtype == image.grad.dtype == dtype
    torch.testing.assert_close(found.detach(), upsample(image.detach(), 2))
    assert torch.equal(image.grad, torch.full_like(image, 4))  # every input pixel has a total weight of four outputs


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (3, 1, 6, 6), (3, 3, 4, 4)])
def test_weights_from_a_file_give_the_same_values_with_a_gradient(shape, tmp_path):
    path = tmp_path / "kernel.npy"
    np.save(path, np.random.default_rng(1).normal(size=shape))
    transform = Upsample(2, kernel=str(path))
    image = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = transform(image)
    found = pickle.loads(pickle.dumps(transform))(image.requires_grad_())
    torch.testing.assert_close(found.detach(), expected)
    if shape[0] > 1:
        for wrong in (image[:, :2], image[:, :2].detach()):
            with pytest.raises(UsageError, match="is for 3 channels, and the image has 2"):
                transform(wrong)


def test_alpha_and_a_gradient_are_refused_together():
    with pytest.raises(UsageError, match=r"^an image with alpha has no gradient here; detach it"):
        Upsample(2, has_alpha=True)(torch.ones(4, 2, 2, requires_grad=True))


# -- other processes and devices --------------------------------------------------------------------------------------

LOADED = """
import sys
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from upsample_cli.engine.cores import core_count
from upsample_cli.transforms import Upsample

class Noise(Dataset):
    def __init__(self):
        self.transform = Upsample(3)
    def __len__(self):
        return 4
    def __getitem__(self, index):
        image = torch.randint(256, (3, 40, 50), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        image = image if index % 2 else image.float()
        return self.transform(tv_tensors.Image(image)), index, core_count()

if __name__ == "__main__":
    here = [Noise()[index] for index in range(4)]  # the threads of this process exist before the workers
    cores = core_count()
    for method in sys.argv[1:]:
        loader = DataLoader(Noise(), batch_size=None, num_workers=2, multiprocessing_context=method)
        for (found, label, used), (expected, index, _) in zip(loader, here, strict=True):
            assert (label, used) == (index, 1)  # as torch's own operators
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)
        assert core_count() == cores
        print(method, "same")
"""


def test_two_workers_of_a_data_loader_give_the_same_pixels(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(LOADED, encoding="utf-8")
    methods = ["fork", "spawn"] if hasattr(os, "fork") else ["spawn"]
    command = [sys.executable, script, *methods]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)
    assert ran.stdout.splitlines() == [f"{method} same" for method in methods], ran.stderr


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_on_a_gpu_stay_there():
    image = torch.from_numpy(hostile_pixels((3, 9, 11), np.uint8))
    box = boxes("XYWHR", torch.tensor([[1.0, 2, 3, 4, 30]]), (9, 11))
    sample = (tv_tensors.Image(image), tv_tensors.Mask(image), box)
    on_gpu = Upsample(3)(*(tv_tensors.wrap(part.cuda(), like=part) for part in sample))
    for found, expected in zip(on_gpu, Upsample(3)(*sample), strict=True):
        assert found.device.type == "cuda"
        assert torch.equal(found.cpu(), expected)
    wanted = image.double().cuda().requires_grad_()
    found = Upsample(3)(wanted)
    torch.testing.assert_close(found.detach().cpu(), upsample(image.double(), 3))
    found.sum().backward()
    assert torch.equal(wanted.grad.cpu(), torch.full_like(image, 9, dtype=torch.float64))
