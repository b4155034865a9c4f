"""Optimizers against steps worked out by hand, and the schedules."""

import pytest
import torch
from torch import nn

from glcic.params import Adadelta, Adam, AdamW, LRSchedule, OptimizerParams
from glcic.training.optimizers import build_optimizer, lr_factor, set_lr

ADAM = Adam(name="adam", lr=0.1, betas=[0.5, 0.9])
ADAMW = AdamW(name="adamw", lr=0.1, betas=[0.5, 0.9], weight_decay=0.2)
ADADELTA = Adadelta(name="adadelta", lr=1.0, rho=0.9)


def stepped(chosen: OptimizerParams, gradient: float) -> float:
    """A parameter of 2 after one step."""
    parameter = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    parameter.grad = torch.full_like(parameter, gradient)
    build_optimizer([parameter], chosen).step()
    return parameter.item()


@pytest.mark.parametrize("gradient", [-3.0, 0.01])
def test_adam_first_step_is_the_learning_rate(gradient: float) -> None:
    assert stepped(ADAM, gradient) == pytest.approx(2 - 0.1 * (1 if gradient > 0 else -1), abs=1e-6)


@pytest.mark.parametrize(("gradient", "sign"), [(-3.0, -1), (0.01, 1), (0.0, 0)])
def test_adamw_decays_apart_from_the_gradient(gradient: float, sign: int) -> None:
    """θ ← θ − η λ θ − η sign(g) at the first step; were λθ part of the gradient, its size would not matter."""
    assert stepped(ADAMW, gradient) == pytest.approx(2 - 0.1 * 0.2 * 2 - 0.1 * sign, abs=1e-6)


def test_adadelta_first_step() -> None:
    """Δ = g √ε / √((1 − ρ) g² + ε), with PyTorch's ε = 1e-6."""
    assert stepped(ADADELTA, 3.0) == pytest.approx(2 - 3 * (1e-6 / (0.1 * 9 + 1e-6)) ** 0.5, abs=1e-9)


def test_betas_and_rho_arrive() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    assert build_optimizer([parameter], ADAM).param_groups[0]["betas"] == (0.5, 0.9)
    assert build_optimizer([parameter], ADAMW).param_groups[0]["betas"] == (0.5, 0.9)
    assert build_optimizer([parameter], ADADELTA).param_groups[0]["rho"] == 0.9


@pytest.mark.parametrize(
    ("schedule", "factors"), [("constant", [1, 1, 1]), ("linear", [1, 0.75, 0.5]), ("cosine", [1, 0.853553, 0.5])]
)
def test_schedules(schedule: LRSchedule, factors: list[float]) -> None:
    assert [lr_factor(schedule, step, 100) for step in (0, 25, 50)] == pytest.approx(factors)


def test_factors_do_not_accumulate() -> None:
    optimizer = build_optimizer([nn.Parameter(torch.zeros(1))], ADAMW)
    for factor in (0.5, 0.25):
        set_lr(optimizer, factor)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_compiled_adadelta_is_adadelta(memory_format: torch.memory_format) -> None:
    """Over five steps with a falling rate, on tensors of several shapes; both states can be loaded by the other."""
    torch.manual_seed(0)
    start = [torch.randn(6, 5, 3, 3).to(memory_format=memory_format), torch.randn(7, 4), torch.randn(3)]
    ours, theirs = ([nn.Parameter(tensor.clone()) for tensor in start] for _ in "ab")
    unused = nn.Parameter(torch.ones(2))
    compiled = build_optimizer([*ours, unused], ADADELTA, compile_it=True)
    plain = build_optimizer(theirs, ADADELTA)
    assert type(compiled) is not type(plain)
    for step in range(5):
        for optimizer in (compiled, plain):
            set_lr(optimizer, lr_factor("linear", step, 5))
        for mine, other in zip(ours, theirs, strict=True):
            other.grad = torch.randn_like(other)
            mine.grad = other.grad.clone()
        compiled.step()
        plain.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
        for name in ("square_avg", "acc_delta"):
            torch.testing.assert_close(compiled.state[mine][name], plain.state[other][name], rtol=1e-5, atol=1e-9)
        assert compiled.state[mine].keys() == plain.state[other].keys()
        assert compiled.state[mine]["step"] == plain.state[other]["step"] == 5
    assert unused.tolist() == [1, 1]
