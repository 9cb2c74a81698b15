"""Networks of whole numbers that enlarge images: a linear kernel, plus detail computed from luma. No numpy.

    linear = the linear kernel over each channel of the pixels
    detail = 3x3 convolution, shift and clip, several times, of luma; then 3x3 to one channel for each of s*s phases
    output = linear + detail, the same for every channel; divided by 2**bits, rounded half up, clipped

Weights and activations have 8 bits. `weights/network_file.py` reads a network, and checks the bounds that make all sums
exact; `engine/routes/network.py` computes it. For the code around them, a network is a kernel with a larger halo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from upsample_cli.errors import Setting, Text
from upsample_cli.kernels.kernel import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACTORS = (2, 3, 4)
MOST_CHANNELS, MOST_LAYERS = 32, 8
LINEAR_TAPS = 7
"""Input pixels along an axis that the linear kernel takes."""


class Convolution(NamedTuple):
    """A layer of the trunk: 3x3, and the next activation is `clip((sum + bias) >> shift, 0, 255)`.

    Args:
        weight: (channels out, channels in, 3, 3) int8, a cross-correlation as in `torch.nn.Conv2d`.
        bias: (channels out,) int32.
        shift: (channels out,) uint8.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    shift: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Network:
    """A network for one factor. It is compared by its digest.

    Args:
        name: the user's name for the network.
        factor: how many times each side is enlarged.
        digest: hash of all numbers.
        linear: the linear kernel over 7x7 pixels; its denominator is `2**bits`, and its phases sum to it.
        layers: the trunk.
        detail: (factor**2, channels, 3, 3) int8: the last convolution, one output for each phase of rows and columns.
        offset: (factor**2,) int32, added to the detail, so that the detail of a flat area is 0.
        detail_reach: the largest magnitude of the detail.
    """

    name: str
    factor: int
    digest: str
    linear: Kernel = field(compare=False)
    layers: tuple[Convolution, ...] = field(compare=False)
    detail: NDArray[Any] = field(compare=False)
    offset: NDArray[Any] = field(compare=False)
    detail_reach: int = field(compare=False)

    @property
    def bits(self) -> int:
        """Sums are divided by `2**bits`."""
        return self.linear.denominator.bit_length() - 1

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        trunk = sum(layer.weight.size + layer.bias.size for layer in self.layers)
        return len(self.linear.weights) + trunk + self.detail.size + self.offset.size

    @property
    def detail_halo(self) -> int:
        """Luma needed on each side: one pixel for each 3x3 convolution."""
        return len(self.layers) + 1

    @property
    def halo(self) -> int:
        """Input samples needed on each side of a run of samples to compute the run's outputs."""
        return max(self.detail_halo, self.linear.halo)

    @property
    def reach(self) -> int:
        """A sum is at most this times the largest pixel; see `Kernel.reach`."""
        return self.linear.reach + -(-self.detail_reach // 255)

    def misfit(
        self, channels: int, *, has_alpha: bool, is_whole: bool = True, has_luma: bool = True
    ) -> tuple[str, Text] | None:
        """See `Kernel.misfit`."""
        if not is_whole:
            return (
                f"kernel {self.name} is a network for whole pixels of 8 or 16 bits, and these are floating-point",
                ("choose another ", Setting("kernel")),
            )
        if channels in (2, 4) and has_luma and not has_alpha:
            return (
                f"kernel {self.name} is a network for grey or RGB, with alpha only if colour is premultiplied by it",
                ("leave out ", Setting("alpha", "straight"), ", or choose another ", Setting("kernel")),
            )
        if not has_luma or channels - has_alpha not in (1, 3):
            return (
                f"kernel {self.name} is a network for grey or RGB: it needs luma",
                ("choose another ", Setting("kernel")),
            )
        return None


AnyKernel: TypeAlias = Kernel | Network


def shipped_file(name: str, factor: int) -> Path:
    """The file of a network that comes with the package. `python -m benchmarks.fit_network` makes them."""
    return Path(__file__).with_name(f"{name}_x{factor}.safetensors")
