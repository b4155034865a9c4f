"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from glcic.params import Adam, AdamW, LRSchedule, OptimizerParams


def build_optimizer(parameters: Iterable[nn.Parameter], section: OptimizerParams) -> Optimizer:
    """Build Adam, AdamW (whose weight decay is decoupled from the gradient) or Adadelta."""
    if isinstance(section, Adam):
        return torch.optim.Adam(parameters, section.lr, (section.betas[0], section.betas[1]))
    if isinstance(section, AdamW):
        betas = section.betas[0], section.betas[1]
        return torch.optim.AdamW(parameters, section.lr, betas, weight_decay=section.weight_decay)
    return torch.optim.Adadelta(parameters, section.lr, section.rho)


def lr_factor(schedule: LRSchedule, step: int, steps: int) -> float:
    """Factor of the learning rate at `step` of `steps`: 1 at the start, falling toward 0 unless constant."""
    if schedule == "linear":
        return 1 - step / steps
    if schedule == "cosine":
        return (1 + math.cos(math.pi * step / steps)) / 2
    return 1.0


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to its initial one times `factor`."""
    for group in optimizer.param_groups:
        base = group.setdefault("initial_lr", group["lr"])
        group["lr"] = base * factor
