"""An exponential moving average of a model's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from finehard.fgclip.model import Network


class WeightAverage:
    """The average of `model`'s trained weights: after each step, `decay` of it and the rest of the
    new weights. In the first steps it decays faster, min(`decay`, (1 + step) / (10 + step)), so
    that the first weights do not stay in it (TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, model: Network, decay: float, state: dict[str, Tensor] | None) -> None:
        """Begins with the weights of `model`, or with what an earlier run's `state` returned."""
        self._decay = decay
        self._trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._average = {n: p.detach().clone() for n, p in self._trained.items()}
        if state is not None:
            for name, value in self._average.items():
                value.copy_(state[name])

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self._average.values()), list(self._trained.values()), weight=1 - decay
        )

    def state(self) -> dict[str, Tensor]:
        """Returns the averages by the name of the parameter."""
        return self._average

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the averages into the model; after it the model has its own weights again."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self._trained.items():
            parameter.data, self._average[name] = self._average[name], parameter.data
