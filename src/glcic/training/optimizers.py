"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adadelta, Optimizer

from glcic.params import Adam, AdamW, LRSchedule, OptimizerParams


def build_optimizer(
    parameters: Iterable[nn.Parameter], section: OptimizerParams, *, compile_it: bool = False
) -> Optimizer:
    """Build Adam, AdamW (whose weight decay is decoupled from the gradient) or Adadelta.

    Adam and AdamW read and write the memory once (`fused`); with `compile_it`, Adadelta does so, too.
    """
    if isinstance(section, Adam):
        return torch.optim.Adam(parameters, section.lr, (section.betas[0], section.betas[1]), fused=True)
    if isinstance(section, AdamW):
        betas = section.betas[0], section.betas[1]
        return torch.optim.AdamW(parameters, section.lr, betas, weight_decay=section.weight_decay, fused=True)
    return (CompiledAdadelta if compile_it else Adadelta)(parameters, section.lr, section.rho)


class CompiledAdadelta(Adadelta):
    """Adadelta (Zeiler, 2012) whose step is one compiled pass over the memory.

    PyTorch's own makes eight, and takes at least twice as long on a CPU. Its state has the same form, and the result is
    the same up to rounding.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no training here has a closure
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            lr = torch.tensor(float(group["lr"]))  # a tensor: a number would be compiled anew at every change
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["square_avg"] = torch.zeros_like(parameter)
                    state["acc_delta"] = torch.zeros_like(parameter)
                state["step"] += 1
                flat = _flat(parameter, parameter.grad, state["square_avg"], state["acc_delta"])
                _compiled_update()(*flat, lr, group["rho"], group["eps"])


def _flat(parameter: Tensor, gradient: Tensor, *state: Tensor) -> list[Tensor]:
    """View a parameter, its gradient and its state in one dimension, in the order of the parameter's memory."""
    strides = parameter.stride()
    order = sorted(range(parameter.dim()), key=lambda axis: -strides[axis])
    views = [tensor.permute(order).view(-1) for tensor in (parameter, *state)]  # an error, rather than a copy
    return [views[0], gradient.permute(order).reshape(-1), *views[1:]]


@cache  # compiled at the first step, and not where this module is imported
def _compiled_update() -> Callable[..., None]:
    return cast(Callable[..., None], torch.compile(_update, dynamic=True, fullgraph=True))


def _update(
    parameter: Tensor, gradient: Tensor, square_avg: Tensor, acc_delta: Tensor, lr: Tensor, rho: float, eps: float
) -> None:
    squares = square_avg * rho + gradient * gradient * (1 - rho)
    delta = (acc_delta + eps).sqrt() / (squares + eps).sqrt() * gradient
    square_avg.copy_(squares)
    acc_delta.mul_(rho).add_(delta * delta * (1 - rho))
    parameter.sub_(lr * delta)


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
