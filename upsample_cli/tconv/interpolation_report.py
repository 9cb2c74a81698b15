"""An interpolating layer for people and programs: sentences about what it equals in torch, and a document."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from upsample_cli.geometry.axes import PerAxis, collapsed
from upsample_cli.kernels.profiles import AxisKernel
from upsample_cli.tconv.interpolation import ANTIALIASED_MODES, MODES, Interpolation
from upsample_cli.tconv.sized_bilinear import sized_sentences


def equalities(layer: Interpolation) -> tuple[str, ...]:
    """Sentences about what the layer is equivalent to in torch.

    >>> from upsample_cli.tconv.interpolation import interpolation
    >>> inside, at_the_border, cure = equalities(interpolation(2))
    >>> inside
    'inside: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)'
    >>> cure
    'with nn.ReplicationPad2d(1) before it and padding=3 instead of 1, the same as F.interpolate everywhere'
    """
    if not layer.is_standard:
        return sized_sentences(layer.kernels)
    factors = collapsed([kernel.factor for kernel in layer.kernels])
    call = f'F.interpolate(x, scale_factor={factors}, mode="{layer.mode}"'
    if not any(kernel.padding for kernel in layer.kernels):
        if layer.mode is None:
            return ("everywhere: its input, because factor 1 changes nothing",)
        rest = "" if layer.mode == "nearest" else ", align_corners=False): factor 1 changes nothing"
        return (f"everywhere: {call}{rest or ')'}",)
    if layer.kernels[0].name == "bilinear":
        gains = _distinct(rim_gain(kernel) for kernel in layer.kernels)
        widths = _distinct(kernel.factor // 2 for kernel in layer.kernels)
        samples = "1 sample" if widths == "1" else f"{widths} samples"
        border = (
            f"not at the border: the bare layer takes 0 outside, so {samples} at each end of an axis "
            f"{'is' if widths == '1' else 'are'} darker, the outermost by a factor of {gains}"
        )
    else:
        widths = _distinct(kernel.padding for kernel in layer.kernels)
        border = f"at the border the bare layer takes 0 outside, which shows on {widths} samples at each end of an axis"
    replicated = (
        f"with nn.ReplicationPad{layer.axes}d({layer.pad_width}) before it and padding={layer.replicate_layer.padding} "
        f"instead of {layer.layer.padding}, "
    )
    if layer.mode:
        return f"inside: {call}, align_corners=False)", border, f"{replicated}the same as F.interpolate everywhere"
    return _inside(layer, factors), border, f"{replicated}the edge is repeated instead", *_everywhere(layer)


def _inside(layer: Interpolation, factors: PerAxis) -> str:
    """A sentence about the equivalent of a kernel that is not a plain mode."""
    if mode := layer.antialiased_mode:
        call = f'F.interpolate(x, scale_factor={factors}, mode="{mode}", align_corners=False, antialias=True)'
        return f"inside: {call}" + (", in newer versions of torch" if mode == "lanczos" else "")
    name = layer.kernels[0].name
    on_two = " on 2 axes only" if name in ANTIALIASED_MODES or MODES.get(name, (None, None))[1] else ""
    return f"torch.nn.functional.interpolate has {'it' if on_two else 'no such mode'}{on_two}"


def _everywhere(layer: Interpolation) -> tuple[str, ...]:
    """A sentence about the border of modes with antialias=True, which divide by the sum of the taps that are inside."""
    if layer.antialiased_mode is None:
        return ()
    return ("up(x) / up(torch.ones_like(x)) is the same as F.interpolate everywhere",)


def _distinct(values: Iterable[object]) -> str:
    return " and ".join(map(str, dict.fromkeys(values)))


def rim_gain(kernel: AxisKernel) -> Fraction:
    """The first output sample of the plain layer for a flat input of 1: the sum of the taps inside the input.

    >>> from upsample_cli.kernels.profiles import axis_kernel
    >>> str(rim_gain(axis_kernel("bilinear", 2)))
    '3/4'
    """
    return sum(kernel.taps[kernel.padding :: -kernel.factor], Fraction())


def as_json(layer: Interpolation) -> dict[str, Any]:
    """The layer for programs. Fractions are text, for example "2/3".

    `kernel` is the kernel of one channel, flattened, last axis fastest. It is weight[c, 0] (depthwise) or weight[c, c]
    (dense) for every channel c; the rest of the weight is 0.

    >>> from upsample_cli.tconv.interpolation import interpolation
    >>> document = as_json(interpolation(2, axes=1, channels=3))
    >>> document["weight_shape"], document["taps"], document["kernel"]
    ([3, 3, 4], [['1/4', '3/4', '3/4', '1/4']], [0.25, 0.75, 0.75, 0.25])
    """
    return {
        "layer": str(layer.layer),
        "kernel_name": layer.kernels[0].name,
        "axes": layer.axes,
        "channels": layer.channels,
        "groups": layer.layer.groups,
        "kernel_size": [kernel.kernel_size for kernel in layer.kernels],
        "stride": [kernel.factor for kernel in layer.kernels],
        "padding": [kernel.padding for kernel in layer.kernels],
        "output_padding": [kernel.output_padding for kernel in layer.kernels],
        "weight_shape": list(layer.weight_shape),
        "taps": [[str(tap) for tap in kernel.taps] for kernel in layer.kernels],
        "phase_sums": [[str(total) for total in sums] for sums in layer.phase_sums],
        "kernel": layer.kernel_floats,
        "kernel_stands_at": "weight[c, 0]" if layer.depthwise else "weight[c, c]",
        "equals": list(equalities(layer)),
    }
