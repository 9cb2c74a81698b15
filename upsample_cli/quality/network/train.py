"""The training loop: real numbers first, then whole ones. It can be resumed after any save."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upsample_cli.quality.network.model import Grid, Network, grid_for
from upsample_cli.quality.network.samples import Pair, Patches

SIDE = 48
"""Side of a training patch, in input pixels."""

_COUNT = 8
"""Patches in a batch."""
_AVERAGE = 0.999
"""The share of the averaged weights that a step keeps."""
_CALIBRATION_BATCHES = 24
"""Batches of typical inputs for `grid_for`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to train.

    Args:
        steps: batches in real numbers.
        whole_steps: batches with whole numbers, after them.
        rate, whole_rate: the learning rates at the start of both parts; they fall to nearly 0 along a cosine.
    """

    steps: int
    whole_steps: int
    rate: float = 1e-3
    whole_rate: float = 2e-4

    @property
    def total(self) -> int:
        """All batches."""
        return self.steps + self.whole_steps

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        start, count, rate = (
            (0, self.steps, self.rate) if step < self.steps else (self.steps, self.whole_steps, self.whole_rate)
        )
        return rate * (0.005 + 0.4975 * (1 + math.cos(math.pi * (step - start) / count)))


class Training:
    """A network in training. The weights that count are a moving average over the steps."""

    def __init__(
        self, network: Network, pairs: list[Pair], schedule: Schedule, *, noise: float = 0, seed: int = 0
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.schedule, self.step = schedule, 0
        self._random = np.random.default_rng(seed)
        self.patches = Patches(pairs, network.shape, side=SIDE, count=_COUNT, noise=noise, random=self._random)
        self._optimizer = torch.optim.Adam(network.parameters(), schedule.rate)
        self._average = self._copied_parameters()

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Start from the weights of another training. Weights of another shape keep their own start."""
        own = self.network.state_dict()
        taken = {name: weights[name] if weights[name].shape == value.shape else value for name, value in own.items()}
        self.network.load_state_dict(taken)
        self._average = self._copied_parameters()

    def advance(self) -> float:
        """Train with one batch. Returns the loss, in squared levels."""
        if self.step == self.schedule.steps:
            self._begin_whole()
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate_at(self.step)
        low, high, weights = self.patches.batch()
        errors = (self.network(low) - high).square().mean((1, 2, 3))
        loss = (errors * weights).sum() / weights.sum()
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1e4)
        self._optimizer.step()
        self.step += 1
        keep = min(_AVERAGE, self.step / (self.step + 10))
        for name, value in self.network.named_parameters():
            self._average[name].lerp_(value.detach(), 1 - keep)
        return float(loss.detach())

    def averaged(self) -> Network:
        """A copy of the network with the averaged weights."""
        copy = Network(self.network.shape, self.network.linear)
        copy.load_state_dict(self._average)
        copy.grid = self.network.grid
        return copy

    def _copied_parameters(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.named_parameters()}

    def _begin_whole(self) -> None:
        """Continue from the averaged weights with a grid for them."""
        self.network.load_state_dict(self._average)
        low = torch.cat([self.patches.batch()[0] for _ in range(_CALIBRATION_BATCHES)])
        self.network.grid = grid_for(self.network, low)
        self._optimizer = torch.optim.Adam(self.network.parameters(), self.schedule.whole_rate)

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, as tensors and plain values."""
        grid = self.network.grid
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "random": str(self._random.bit_generator.state),
            "grid": None if grid is None else [grid.scales, grid.shifts, grid.bits],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`.

        Raises:
            ValueError: or another exception, if it is not the state of such a training.
        """
        self.step = state["step"]
        earliest = 0 if state["grid"] is None else self.schedule.steps
        latest = self.schedule.steps if state["grid"] is None else self.schedule.total
        if type(self.step) is not int or not earliest <= self.step <= latest:
            raise ValueError(f"step {self.step} is not one of this training")
        self.network.load_state_dict(state["average"])
        self._average = self._copied_parameters()
        self.network.load_state_dict(state["network"])
        if not all(value.isfinite().all() for value in (*self._average.values(), *self.network.parameters())):
            raise ValueError("its weights are not finite")
        self._optimizer.load_state_dict(state["optimizer"])
        self._random.bit_generator.state = ast.literal_eval(state["random"])
        self.network.grid = None if state["grid"] is None else Grid(*state["grid"])
