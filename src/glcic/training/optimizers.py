"""Optimizers and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adadelta, Optimizer
from torch.optim.adadelta import adadelta

from glcic.errors import UserError
from glcic.params import Adam, AdamW, LRSchedule, OptimizerParams

WORTH_A_CALL = 10_000  # elements of a parameter; smaller ones are updated in one call


def build_optimizer(
    parameters: Iterable[nn.Parameter], section: OptimizerParams, *, compile_it: bool = False
) -> Optimizer:
    """Build Adam, AdamW (whose weight decay is decoupled from the gradient) or Adadelta.

    Adam and AdamW read and write the memory once (`fused`); with `compile_it`, Adadelta does so, too.

    Raises:
        UserError: there is no compiler for `compile_it`.
    """
    if not isinstance(section, Adam | AdamW):
        if not compile_it:
            return Adadelta(parameters, section.lr, section.rho)
        _require_compiler()
        return CompiledAdadelta(parameters, section.lr, section.rho)
    betas = section.betas[0], section.betas[1]
    made = (
        torch.optim.AdamW(parameters, section.lr, betas, weight_decay=section.weight_decay, fused=True)
        if isinstance(section, AdamW)
        else torch.optim.Adam(parameters, section.lr, betas, fused=True)
    )
    made.register_step_pre_hook(_same_strides)
    return made


def _require_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler  # slow to import
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise UserError(
            "runtime.compile: compiling on a CPU needs a C++ compiler, but found none; install g++ (or name another "
            "one in the environment variable CXX), or set runtime.compile: false"
        ) from None


@torch.no_grad()
def _same_strides(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Give every gradient the strides of its parameter, without which CUDA's fused kernels refuse it.

    Those of 1×1 convolutions may differ, in dimensions of one element (github.com/pytorch/pytorch/issues/126585).
    """
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)


def step_unless(optimizer: Optimizer, skip: Tensor) -> None:
    """Take a step, unless `skip` (a scalar, bool) is true; a device is not asked, which would wait for it.

    There, the step is taken in any case, and undone where `skip` is true. Step counts that an optimizer keeps on the
    CPU (Adadelta's) go on; it does not use them.
    """
    if skip.device.type != "cpu":
        _step_and_undo(optimizer, skip)
    elif not skip:
        optimizer.step()


@torch.no_grad()
def _step_and_undo(optimizer: Optimizer, skip: Tensor) -> None:
    before = {key: tensor.clone() for key, tensor in _tensors(optimizer)}
    optimizer.step()
    for key, tensor in _tensors(optimizer):
        if tensor.device == skip.device:
            old = before[key] if key in before else torch.zeros_like(tensor)  # as the state starts
            tensor.copy_(torch.where(skip, old, tensor))


def _tensors(optimizer: Optimizer) -> Iterator[tuple[tuple[int, str], Tensor]]:
    """Every parameter and every tensor of its state, with a key."""
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        yield (id(parameter), ""), parameter
        for name, tensor in optimizer.state.get(parameter, {}).items():
            yield (id(parameter), name), tensor


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
            small: tuple[list[Tensor], ...] = ([], [], [], [], [])
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["square_avg"] = torch.zeros_like(parameter)
                    state["acc_delta"] = torch.zeros_like(parameter)
                own = parameter, parameter.grad, state["square_avg"], state["acc_delta"]
                if parameter.numel() < WORTH_A_CALL:
                    for tensors, tensor in zip(small, (*own, state["step"]), strict=True):
                        tensors.append(tensor)
                    continue
                state["step"] += 1
                _compiled_update()(*_flat(*own), lr, group["rho"], group["eps"])
            if small[0]:
                settings = {name: group[name] for name in ("lr", "rho", "eps", "weight_decay", "maximize")}
                adadelta(small[0], small[1], small[2], small[3], small[4], foreach=True, **settings)


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
