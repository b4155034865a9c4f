"""Optimizers against steps worked out by hand, and the schedules."""

from collections.abc import Callable

import pytest
import torch
import torch._inductor.config
from torch import Tensor, nn
from torch.optim import Optimizer

from glcic.errors import UserError
from glcic.params import Adadelta, Adam, AdamW, LRSchedule, OptimizerParams
from glcic.training.optimizers import (
    WORTH_A_CALL,
    _step_and_undo,
    build_optimizer,
    lr_factor,
    set_lr,
    step_unless,
)

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
    start = [torch.randn(60, 50, 3, 3).to(memory_format=memory_format), torch.randn(110, 100), torch.randn(7, 4)]
    assert [tensor.numel() >= WORTH_A_CALL for tensor in start] == [True, True, False]
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


@pytest.mark.parametrize("how", [step_unless, _step_and_undo])
@pytest.mark.parametrize("chosen", [ADAM, ADAMW, ADADELTA])
@pytest.mark.parametrize("skips", [[False, True, False], [True, False, True]])
def test_an_undone_step_is_a_step_left_out(
    chosen: OptimizerParams, skips: list[bool], how: Callable[[Optimizer, Tensor], None]
) -> None:
    """To the bit: as on a device, where nobody asks, so on a CPU, where the step is left out. Also of the first one."""
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4), torch.randn(3, 3, 4)
    done, undone = (nn.Parameter(start.clone()) for _ in "ab")
    left_out, taken = (build_optimizer([parameter], chosen) for parameter in (done, undone))
    for skip, gradient in zip(skips, gradients, strict=True):
        done.grad, undone.grad = gradient.clone(), gradient.clone()
        if not skip:
            left_out.step()
        how(taken, torch.tensor(skip))
        assert torch.equal(done, undone)
    assert not torch.equal(done, start)
    for name, value in left_out.state[done].items():
        assert torch.equal(value, taken.state[undone][name]), name


@pytest.mark.parametrize("chosen", [ADAM, ADAMW])
def test_a_fused_step_sees_gradients_with_the_strides_of_their_parameters(chosen: OptimizerParams) -> None:
    """On CUDA, it refuses others, which 1×1 convolutions in channels-last format may have."""
    torch.manual_seed(0)
    start = [torch.randn(6, 5, 1, 1), torch.randn(6, 5, 3, 3)]
    formats = torch.channels_last, torch.contiguous_format
    mine, theirs = ([nn.Parameter(tensor.to(memory_format=torch.channels_last)) for tensor in start] for _ in "ab")
    mine[0] = nn.Parameter(start[0].as_strided((6, 5, 1, 1), (5, 1, 5, 5)))  # what a network in that format has
    for parameters, layout in ((mine, formats[1]), (theirs, formats[0])):
        torch.manual_seed(1)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape).contiguous(memory_format=layout)
        build_optimizer(parameters, chosen).step()
    assert mine[0].stride() == (5, 1, 5, 5)
    for ours, other in zip(mine, theirs, strict=True):
        assert ours.grad is not None
        assert ours.grad.stride() == ours.stride()
        assert torch.equal(ours, other)


def test_without_a_compiler_adadelta_says_what_to_do() -> None:
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(UserError, match=r"runtime.compile: .* needs a C\+\+ compiler, .*; install g\+\+"),
    ):
        build_optimizer([nn.Parameter(torch.zeros(1))], ADADELTA, compile_it=True)
