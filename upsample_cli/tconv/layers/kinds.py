"""The known classes of torch.nn, and their conversion to plain data. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from upsample_cli.errors import GeometryError
from upsample_cli.tconv.layers.convolution import Convolution, TransposedConvolution
from upsample_cli.tconv.layers.dense import GatedLinearUnit, Linear, layer_norm
from upsample_cli.tconv.layers.model import Layer
from upsample_cli.tconv.layers.normalization import GroupNorm, InstanceNorm, LocalResponseNorm, Normalization, Softmax
from upsample_cli.tconv.layers.plain import ChannelShuffle, Padding, Shuffling, SizeKeeping
from upsample_cli.tconv.layers.pooling import AdaptivePooling, Pooling
from upsample_cli.tconv.layers.reshaping import Flatten, Unflatten
from upsample_cli.tconv.layers.upsampling import Upsampling


@dataclass(frozen=True, slots=True)
class Kind:
    """How a class of torch.nn becomes a layer.

    Args:
        build: a function that takes the given parameters, except `unused`, as keywords.
        parameters: names of the parameters in torch's order.
        required: how many parameters do not have a default.
        unused: parameters that affect neither sizes nor channels nor costs.
    """

    build: Callable[..., Layer]
    parameters: tuple[str, ...]
    required: int
    unused: frozenset[str]


def _kind(build: Callable[..., Layer], parameters: str, required: int, unused: str = "") -> Kind:
    return Kind(build, tuple(parameters.split()), required, frozenset(f"{unused} device dtype".split()))


_CONV = "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode device dtype"
_TRANSPOSED = (
    "in_channels out_channels kernel_size stride padding output_padding groups bias dilation padding_mode device dtype"
)
_MAX = "kernel_size stride padding dilation return_indices ceil_mode"
_AVERAGE = "kernel_size stride padding ceil_mode count_include_pad"
_DIVIDED_AVERAGE = f"{_AVERAGE} divisor_override"
_UPSAMPLE = "size scale_factor mode align_corners recompute_scale_factor"
_LAYER_NORM = "normalized_shape eps elementwise_affine bias"
_NORM = "num_features eps momentum affine track_running_stats"


def _shuffling(kind: str, **factor: int) -> Layer:
    return Shuffling(kind, *factor.values())


def _padding(kind: str, axes: int, padding: Any) -> Layer:
    if isinstance(padding, str):
        raise GeometryError("padding is not a whole number", "write it in digits")
    return Padding(kind, axes, padding)


def _normalization(
    kind: str,
    axes: int | None,
    always_affine: bool,
    *,
    num_features: int,
    affine: bool | None = None,
    bias: bool = True,
    track_running_stats: bool | None = None,
) -> Layer:
    if num_features < 1:
        raise GeometryError(f"num_features {num_features} is too small", "use 1 or more")
    learns = always_affine if affine is None else affine
    is_instance_norm = kind.startswith("InstanceNorm")
    tracks = not is_instance_norm if track_running_stats is None else track_running_stats
    settings = (kind, axes, num_features, num_features * learns * (1 + bias), learns or tracks)
    return InstanceNorm(*settings, by_input=not tracks) if is_instance_norm else Normalization(*settings)


def _frozen_norm(*, num_features: int) -> Layer:
    return SizeKeeping("FrozenBatchNorm2d", 2, num_features)


def _group_norm(*, num_groups: int, num_channels: int, affine: bool = True, bias: bool = True) -> Layer:
    if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
        raise GeometryError(
            f"num_channels {num_channels} is not divisible by num_groups {num_groups}",
            "num_groups must divide num_channels",
        )
    return GroupNorm("GroupNorm", None, num_channels, num_channels * affine * (1 + bias), affine, num_groups)


def _layer_norm_2d(
    *, normalized_shape: int | tuple[int, ...], elementwise_affine: bool = True, bias: bool = True
) -> Layer:
    """The LayerNorm of torchvision, over the channels of an image."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    if len(shape) != 1:
        raise GeometryError(f"normalized_shape has {len(shape)} numbers", "give the channels alone")
    return SizeKeeping("LayerNorm2d", 2, shape[0], shape[0] * elementwise_affine * (1 + bias))


def _prelu(*, num_parameters: int = 1) -> Layer:
    if num_parameters < 1:
        raise GeometryError(f"num_parameters {num_parameters} is too small", "use 1 or more")
    return SizeKeeping("PReLU", None, num_parameters if num_parameters > 1 else None, num_parameters)


_KEEPING: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid"), ("inplace", 0)),
    **dict.fromkeys(("Sigmoid", "Tanh", "Softsign", "LogSigmoid", "Tanhshrink", "Softmax2d"), ("", 0)),
    **dict.fromkeys(("ELU", "CELU"), ("alpha inplace", 0)),
    **dict.fromkeys(("Hardshrink", "Softshrink"), ("lambd", 0)),
    **dict.fromkeys(
        ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"), ("p inplace", 0)
    ),
    "LeakyReLU": ("negative_slope inplace", 0),
    "RReLU": ("lower upper inplace", 0),
    "GELU": ("approximate", 0),
    "Softplus": ("beta threshold", 0),
    "Threshold": ("threshold value inplace", 2),
    "Hardtanh": ("min_val max_val inplace min_value max_value", 0),
}
"""Parameters of the layers that change only values, and the number of required ones."""
_KEEPING_AXES = {"Dropout1d": 1, "Softmax2d": 2}
"""The number of axes of those that torch refuses for other numbers."""

KINDS: dict[str, Kind] = {
    **{f"Conv{n}d": _kind(partial(Convolution, n), _CONV, 3) for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": _kind(partial(TransposedConvolution, n), _TRANSPOSED, 3) for n in (1, 2, 3)},
    **{f"MaxPool{n}d": _kind(partial(Pooling, "MaxPool", n), _MAX, 1, "return_indices") for n in (1, 2, 3)},
    "AvgPool1d": _kind(partial(Pooling, "AvgPool", 1), _AVERAGE, 1, "count_include_pad"),
    **{
        f"AvgPool{n}d": _kind(partial(Pooling, "AvgPool", n), _DIVIDED_AVERAGE, 1, "count_include_pad divisor_override")
        for n in (2, 3)
    },
    **{
        f"AdaptiveMaxPool{n}d": _kind(
            partial(AdaptivePooling, "AdaptiveMaxPool", n), "output_size return_indices", 1, "return_indices"
        )
        for n in (1, 2, 3)
    },
    **{
        f"AdaptiveAvgPool{n}d": _kind(partial(AdaptivePooling, "AdaptiveAvgPool", n), "output_size", 1)
        for n in (1, 2, 3)
    },
    "Upsample": _kind(Upsampling, _UPSAMPLE, 0),
    "PixelShuffle": _kind(partial(_shuffling, "PixelShuffle"), "upscale_factor", 1),
    "PixelUnshuffle": _kind(partial(_shuffling, "PixelUnshuffle"), "downscale_factor", 1),
    **{
        f"{kind}{n}d": _kind(partial(_padding, kind, n), "padding", 1)
        for kind in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")
        for n in (1, 2, 3)
    },
    **{f"ConstantPad{n}d": _kind(partial(_padding, "ConstantPad", n), "padding value", 2, "value") for n in (1, 2, 3)},
    **{
        f"{kind}{n}d": _kind(
            partial(_normalization, f"{kind}{n}d", n, affine),
            f"{_NORM} device dtype bias",
            1,
            "eps momentum",
        )
        for kind, affine in (("BatchNorm", True), ("InstanceNorm", False))
        for n in (1, 2, 3)
    },
    "SyncBatchNorm": _kind(
        partial(_normalization, "SyncBatchNorm", None, True),
        "num_features eps momentum affine track_running_stats process_group device dtype bias",
        1,
        "eps momentum process_group",
    ),
    "GroupNorm": _kind(_group_norm, "num_groups num_channels eps affine device dtype bias", 2, "eps"),
    "PReLU": _kind(_prelu, "num_parameters init device dtype", 0, "init"),
    **{
        name: _kind(partial(SizeKeeping, name, _KEEPING_AXES.get(name)), parameters, required, parameters)
        for name, (parameters, required) in _KEEPING.items()
    },
    **{name: _kind(partial(Softmax, name), "dim", 0) for name in ("Softmax", "LogSoftmax", "Softmin")},
    "LocalResponseNorm": _kind(partial(LocalResponseNorm, "LocalResponseNorm"), "size alpha beta k", 1, "alpha beta k"),
    "UpsamplingNearest2d": _kind(Upsampling, "size scale_factor mode", 0, "mode"),
    "UpsamplingBilinear2d": _kind(
        partial(Upsampling, mode="bilinear", align_corners=True), "size scale_factor mode", 0, "mode"
    ),
    "Linear": _kind(Linear, "in_features out_features bias device dtype", 2),
    "Flatten": _kind(Flatten, "start_dim end_dim", 0),
    "Unflatten": _kind(Unflatten, "dim unflattened_size", 2),
    "LayerNorm": _kind(layer_norm, f"{_LAYER_NORM} device dtype", 1, "eps"),
    "GLU": _kind(GatedLinearUnit, "dim", 0),
    "ChannelShuffle": _kind(partial(ChannelShuffle, "ChannelShuffle"), "groups", 1),
    "QuantStub": _kind(partial(SizeKeeping, "QuantStub"), "qconfig", 0, "qconfig"),
    "DeQuantStub": _kind(partial(SizeKeeping, "DeQuantStub"), "qconfig", 0, "qconfig"),
    # torchvision
    "LayerNorm2d": _kind(_layer_norm_2d, f"{_LAYER_NORM} device dtype", 1, "eps"),
    "FrozenBatchNorm2d": _kind(_frozen_norm, "num_features eps", 1, "eps"),
    "StochasticDepth": _kind(partial(SizeKeeping, "StochasticDepth"), "p mode", 2, "p mode"),
    "Identity": Kind(lambda: SizeKeeping("Identity"), (), 0, frozenset()),
}
