"""Adam with a learning rate that rises, stays and falls to 0; its state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from tracer.engine.training.trainee import Trainee

_WARM_UP, _DECAY = 0.05, 0.5
"""Shares of the steps: at the beginning, and at the end."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


def rate_factor(step: int, steps: int) -> float:
    """What the learning rate of a step, counted from 0, is multiplied with.

    It rises linearly over the first 20th of the steps and falls linearly over the last half.
    """
    rise = (step + 1) / max(1.0, _WARM_UP * steps)
    fall = (steps - step) / max(1.0, _DECAY * steps)
    return min(1.0, rise, fall)


@final
class Optimiser:
    """Of all parameters of what is trained."""

    def __init__(self, trainee: Trainee, learning_rate: float, steps: int) -> None:
        self._named = dict(trainee.named_parameters())
        self._rate, self._steps = learning_rate, steps
        self._adam = torch.optim.Adam(self._named.values(), lr=learning_rate, fused=True)

    def step(self, number: int) -> None:
        """Change the parameters by their gradients, which are let go of."""
        for group in self._adam.param_groups:
            group["lr"] = self._rate * rate_factor(number, self._steps)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Both moments of each parameter; empty before the first step."""
        return {
            f"{moment}.{name}": self._adam.state[parameter][moment]
            for name, parameter in self._named.items()
            for moment in _MOMENTS
            if parameter in self._adam.state
        }

    def restore(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        """Go on from a state that was taken after so many steps."""
        for name, parameter in self._named.items():
            self._adam.state[parameter] = {
                "step": torch.tensor(float(steps_done), device=parameter.device),
                **{moment: state[f"{moment}.{name}"].to(parameter.device) for moment in _MOMENTS},
            }
