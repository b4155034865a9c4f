"""Optimisers and learning-rate schedules."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from glcic.params import Adam, AdamW, Optimiser, Schedule


def make_optimiser(parameters: Iterable[nn.Parameter], chosen: Optimiser) -> Optimizer:
    """Adam, AdamW (whose weight decay is decoupled from the gradient) or Adadelta, as the parameters say."""
    if isinstance(chosen, Adam):
        return torch.optim.Adam(parameters, chosen.learning_rate, (chosen.betas[0], chosen.betas[1]))
    if isinstance(chosen, AdamW):
        betas = chosen.betas[0], chosen.betas[1]
        return torch.optim.AdamW(parameters, chosen.learning_rate, betas, weight_decay=chosen.weight_decay)
    return torch.optim.Adadelta(parameters, chosen.learning_rate, chosen.rho)


def schedule_factor(schedule: Schedule, step: int, steps: int) -> float:
    """What multiplies the learning rate at `step` of `steps`: 1 at the start, towards 0 unless constant."""
    if schedule == "linear":
        return 1 - step / steps
    if schedule == "cosine":
        return (1 + math.cos(math.pi * step / steps)) / 2
    return 1.0


def set_learning_rate(optimiser: Optimizer, factor: float) -> None:
    """Scale every group's learning rate relative to the one it was made with."""
    for group in optimiser.param_groups:
        base = group.setdefault("initial_lr", group["lr"])
        group["lr"] = base * factor
