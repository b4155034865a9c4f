"""The joint phase's health: what its curve says of it, worked out by hand, and when it raises an alarm."""

import copy
import csv
import re
from collections.abc import Sequence
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch
from glcic.masks.geometry import composite
from glcic.networks.layers import last_layer
from glcic.params import GANLoss, Params
from glcic.phases.health import Diversity, Health
from glcic.phases.train_joint import TrainJointPhase
from glcic.report.alarms import alarms, loss_of_guessing, lowest_loss
from glcic.training.curves import Point
from glcic.training.losses import d_loss_fake, d_loss_real, g_loss, reconstruction_loss
from support.networks import generator, global_local
from support.project import ROOT, TINY, default_tree, merge

ADAPTIVE: dict[str, Any] = {"adv_weight": None, "adaptive_ratio": 0.5}


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    torch.set_num_threads(1)
    return Fabric(accelerator="cpu", devices=1)


def joint(fabric: Fabric, G: nn.Module | None = None, compile_it: bool = False, **changes: Any) -> TrainJointPhase:
    p = Params.model_validate(merge(merge(default_tree(), TINY), {"train_joint": changes}))
    torch.manual_seed(0)
    G, D = G or generator(0.0625), global_local(16, 8, 3, 2, 0.0625)
    return TrainJointPhase(fabric, G, D, p.train_joint, p.gan, p.input, [0.5] * 3, compile_it)


def batch(n: int, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    mask = np.zeros((n, 1, 16, 16), np.uint8)
    for k in range(n):
        mask[k, :, 3 + k % 3 : 10, 4:11] = 1
    image = random.integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)
    windows = torch.full((n, 2), 3), torch.full((n, 2), 6)
    return Batch(torch.from_numpy(image), torch.from_numpy(mask), *windows)


def by_hand(phase: TrainJointPhase, batches: Sequence[Batch], k: int) -> tuple[Tensor, Tensor]:
    """Gradients of both losses over all images, at the scored network's last layer.

    The discriminator judges as it is trained: its batch norm normalizes by each of a batch's k parts.
    """
    G, D = copy.deepcopy(phase.scored("generator")).eval(), copy.deepcopy(phase.networks["discriminator"]).train()
    whole = Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    images = phase.preprocess(whole)
    output = G(images.filled, images.dilated)
    wanted = reconstruction_loss(output, images.image, images.mask, phase.reconstruction, 1.0)
    first, second = torch.autograd.grad(wanted, last_layer(G), retain_graph=True)[0], torch.zeros_like(last_layer(G))
    completed = composite(output, images.image, images.mask)
    for part in torch.arange(len(output)).split([len(batch.image) // k for batch in batches for _ in range(k)]):
        given = g_loss(D(completed[part], images.mask[part], images.window[part]), "bce") * len(part) / len(output)
        second += torch.autograd.grad(given, last_layer(G), retain_graph=True)[0]
    return first, second


@pytest.mark.parametrize(
    "changes",
    [{}, {"ema_decay": 0.5}, {"grad_accum_steps": 2}, ADAPTIVE],
    ids=["plain", "average", "parts", "adaptive"],
)
def test_gradients_are_those_of_the_losses_over_all_images(fabric: Fabric, changes: dict[str, Any]) -> None:
    """Of the generator that is scored, in eval mode, over batches of unequal size; the adversarial one without α."""
    phase, batches = joint(fabric, **changes), [batch(4), batch(6, seed=1)]
    for seed in (2, 3):  # so that moving average and network differ
        phase.step([phase.preprocess(part) for part in batch(4, seed).split(changes.get("grad_accum_steps", 1))])
    wanted, given = by_hand(phase, batches, changes.get("grad_accum_steps", 1))
    scores = phase.validate(batches)
    assert scores["val_grad_norm_rec"] == pytest.approx(wanted.norm().item(), rel=1e-4)
    assert scores["val_grad_norm_adv"] == pytest.approx(given.norm().item(), rel=1e-4)
    if "adaptive_ratio" in changes:
        assert "val_grad_norm_ratio" not in scores  # α changes from step to step; the curve has it
    else:
        ratio = phase.adv_weight * (given.norm() / wanted.norm()).item()
        assert scores["val_grad_norm_ratio"] == pytest.approx(ratio, rel=1e-4)


class Answer(nn.Module):
    """A generator whose answers are given: (N, 3, S, S), whatever it sees, times its only weight, 1."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        nn.init.ones_(self.convolution.weight)
        self.answers = answers

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        answer: Tensor = self.convolution(self.answers[: len(filled)])
        return answer


def truth_like(images: Batch, factor: float, offset: float) -> Tensor:
    return images.image.float() / 255 * factor + offset


@pytest.mark.parametrize(
    ("factor", "offset", "diversity"),
    [(1.0, 0.0, 1.0), (0.0, 0.25, 0.0), (0.5, 0.25, 0.5)],
    ids=["truth", "one", "half"],
)
def test_diversity_of_known_answers(fabric: Fabric, factor: float, offset: float, diversity: float) -> None:
    images = batch(4)
    phase = joint(fabric, Answer(truth_like(images, factor, offset)))
    assert phase.validate([images])["val_diversity"] == pytest.approx(diversity, abs=0.01)


def test_diversity_by_hand() -> None:
    """Pixel 0 lies in all three holes, pixel 1 in two, pixel 2 in one and does not count; one channel, two batches."""
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]]).view(3, 1, 1, 3)
    image = torch.tensor([[0, 10, 99], [30, 30, 7], [60, 77, 99]]).view(3, 1, 1, 3)
    completed = torch.tensor([[10, 20, 1], [20, 20, 200], [30, 5, 2]]).view(3, 1, 1, 3)
    diversity = Diversity()
    diversity.add(completed[:2], image[:2], mask[:2])
    diversity.add(completed[2:], image[2:], mask[2:])
    truth = (30**2 + 0 + 30**2) / 3 + (10**2 + 10**2) / 2
    answers = (10**2 + 0 + 10**2) / 3 + 0
    assert diversity.value() == pytest.approx(sqrt(answers / truth))


@pytest.mark.parametrize("image", [[[5, 5]], [[5, 5], [5, 5]]], ids=["no overlap", "equal images"])
def test_diversity_without_any_in_the_truth_is_undefined(image: list[list[int]]) -> None:
    diversity = Diversity()
    images = torch.tensor(image).view(-1, 1, 1, 2)
    diversity.add(images * 2 + torch.arange(len(images)).view(-1, 1, 1, 1), images, torch.ones_like(images))
    assert diversity.value() is None


def test_one_validation_image_has_no_diversity(fabric: Fabric) -> None:
    assert "val_diversity" not in joint(fabric).validate([batch(1)])


def test_saturated_is_the_share_at_the_ends_of_8_bits(fabric: Fabric) -> None:
    """Values that are rounded to an end count, those that nearly are do not, and nothing counts outside the hole."""
    images = batch(1)
    inside = images.mask.bool().expand(-1, 3, -1, -1)
    values = torch.full((int(inside.sum()),), 0.5)
    values[:4] = torch.tensor([0.0, 0.4 / 255, 1 - 0.4 / 255, 1.2])  # at an end in 8 bits
    values[4:6] = torch.tensor([0.6 / 255, 1 - 0.6 / 255])  # 1 and 254
    answer = torch.zeros(1, 3, 16, 16)
    answer[inside] = values
    scores = joint(fabric, Answer(answer)).validate([images])
    assert scores["val_saturated"] == pytest.approx(4 / len(values))


def modes(network: nn.Module) -> list[Any]:
    return [[m.training for m in network.modules()], [p.requires_grad for p in network.parameters()]]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.5}, ADAPTIVE], ids=["plain", "average", "adaptive"])
def test_weights_are_the_same_with_or_without_it(precision: Any, changes: dict[str, Any]) -> None:
    """Validation between the steps changes no bit of what is trained, no gradient, no mode and no randomness."""
    torch.set_num_threads(1)
    states = []
    for looked_at in (True, False):
        phase = joint(Fabric(accelerator="cpu", devices=1, precision=precision), **changes)
        for step in range(3):
            phase.step([phase.preprocess(batch(4, seed=step))])
            if not looked_at:
                continue
            everything = nn.ModuleList([*phase.networks.values(), phase.scored("generator")])
            gradients, settings = copy.deepcopy([p.grad for p in everything.parameters()]), modes(everything)
            random = torch.get_rng_state()
            first, again = phase.validate([batch(4, seed=9)]), phase.validate([batch(4, seed=9)])
            assert first == again
            assert torch.equal(torch.get_rng_state(), random)
            assert modes(everything) == settings
            for before, p in zip(gradients, everything.parameters(), strict=True):
                assert p.grad is None if before is None else p.grad is not None and torch.equal(p.grad, before)
        moments = [s for optimizer in phase.optimizers.values() for s in optimizer.state_dict()["state"].values()]
        optimizers = [tensor for state in moments for tensor in state.values()]
        averages = [t for average in phase.averages.values() for t in average.state_dict().values()]
        weights = [t for network in phase.networks.values() for t in network.state_dict().values()]
        states.append([*weights, *averages, *optimizers])
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(*states, strict=True))


def test_no_gradient_of_the_reconstruction_leaves_no_ratio(fabric: Fabric) -> None:
    health = Health(joint(fabric).preprocessor, adv_weight=0.5)
    health.add(batch(4), torch.rand(4, 3, 16, 16), [torch.zeros(3, 4, 1, 1), torch.ones(3, 4, 1, 1)])
    scores = health.values()
    assert scores["val_grad_norm_rec"] == 0
    assert scores["val_grad_norm_adv"] == pytest.approx(sqrt(12))
    assert "val_grad_norm_ratio" not in scores


HEALTHY: dict[str, float] = {
    "d_loss_real": 0.05,
    "d_loss_fake": 0.05,
    "val_d_acc_real": 0.95,
    "val_d_acc_fake": 0.99,
    "val_diversity": 0.9,
}
WON = {"d_loss_real": 0.0, "d_loss_fake": 0.0, "val_d_acc_real": 1.0}
LOST = {"val_d_acc_real": 0.98, "val_d_acc_fake": 0.05}
COLLAPSED = {"val_diversity": 0.03}


def curve(*changes: dict[str, float]) -> list[Point]:
    return [{"step": 50 * (k + 1), **HEALTHY, **change} for k, change in enumerate(changes)]


@pytest.mark.parametrize(
    ("change", "name", "numbers", "remedy"),
    [
        (
            WON,
            "discriminator_won",
            ["0 % of the loss of guessing", "99 % of the completions"],
            "train_joint.d_skip_accuracy",
        ),
        (LOST, "discriminator_lost", ["98 % of the real", "5 % of the completions"], "pretrain_discriminators.steps"),
        (COLLAPSED, "generator_collapsed", ["0.03 times"], "train_joint.adv_weight"),
    ],
)
def test_an_alarm_says_since_when_what_and_what_to_do(
    change: dict[str, float], name: str, numbers: list[str], remedy: str
) -> None:
    assert alarms(curve({}, change, change), "bce", 1.0) == {}  # not yet
    assert alarms(curve(change, change, {}, change, change), "bce", 1.0) == {}  # never three in a row
    raised = alarms(curve({}, change, change, change), "bce", 1.0)
    assert list(raised) == [name]
    assert raised[name].startswith("since step 100: ")
    assert all(said in raised[name] for said in [*numbers, remedy])

    over = alarms(curve({}, change, change, change, {}, change, change), "bce", 1.0)
    assert over[name].startswith("since step 100, until step 200: ")
    again = alarms(curve(*[change] * 3, {}, *[change] * 3), "bce", 1.0)
    assert again[name].startswith("since step 250: ")


STAGES = ("pretrain_generator", "pretrain_discriminators", "train_joint")


@pytest.mark.parametrize("stage", STAGES)
def test_a_training_that_is_dead_from_the_start_is_told(stage: str) -> None:
    """The generator by scores that do not change in any digit of the curve's file; a discriminator by its guesses."""
    if stage == "pretrain_discriminators":
        guesses = [{"val_d_acc_real": 0.0, "val_d_acc_fake": 1.0}, {"val_d_acc_real": 1.0, "val_d_acc_fake": 0.0}]
        raised = alarms(curve(*guesses, guesses[0]), "bce", 1.0, stage)
        assert list(raised) == ["discriminator_lost"]
        assert "lower pretrain_discriminators.optimizer.lr" in raised["discriminator_lost"]
        assert alarms(curve(*guesses), "bce", 1.0, stage) == {}
        assert alarms(curve(*[WON] * 3), "bce", 1.0, stage) == {}, "alone, it is to win"
        return
    scores = {"val_psnr": 14.4512345678, "val_l1_hole": 38.75}
    for k in range(4):
        points = [{**scores, "val_psnr": scores["val_psnr"] + 1e-9 * step} for step in range(k + 1)]
        raised = alarms(curve(*points), "bce", 1.0, stage)
        assert list(raised) == (["generator_dead"] if k == 3 else [])
    assert raised["generator_dead"].startswith("since step 100: the validation scores do not change at all (PSNR 14.45")
    alive = [{**scores, "val_l1_hole": 38.75 + 1e-4 * step} for step in range(5)]
    assert alarms(curve(*alive), "bce", 1.0, stage) == {}


def test_parameters_that_alarms_name_exist() -> None:
    same = {"val_psnr": 14.0, "val_l1_hole": 38.0}
    cases = [(change, "train_joint") for change in (WON, LOST, COLLAPSED, same)]
    cases += [(same, "pretrain_generator"), (LOST, "pretrain_discriminators")]
    raised = [alarms(curve(*[change] * 4), "bce", 1.0, stage) for change, stage in cases]
    assert all(raised)
    named = [
        name
        for found in raised
        for text in found.values()
        for name in re.findall(r"[a-z_]+\.[a-z0-9_.]*[a-z0-9]", text)
    ]
    assert len(named) >= 12
    for name in named:
        tree: Any = default_tree()
        for part in name.split("."):
            assert part in tree, name
            tree = tree[part]


@pytest.mark.parametrize("loss", ["bce", "hinge", "lsgan"])
@pytest.mark.parametrize("label", [1.0, 0.9])
def test_a_won_discriminator_is_known_by_any_loss(loss: GANLoss, label: float) -> None:
    """A thousandth of what can be learned is left, or a third."""
    if loss == "hinge" and label != 1:
        return
    least, guessing = lowest_loss(loss, label), loss_of_guessing(loss, label)
    for left, expected in ((0.001, ["discriminator_won"]), (1 / 3, [])):
        total = least + left * (guessing - least)
        point = {"d_loss_real": 0.75 * total, "d_loss_fake": 0.25 * total}
        assert list(alarms(curve(*[point] * 3), loss, label)) == expected


@pytest.mark.parametrize(
    ("loss", "label", "same", "real", "completed"),
    [
        ("bce", 1.0, 0.0, 40.0, -40.0),
        ("bce", 0.9, log(0.45 / 0.55), log(0.9 / 0.1), -40.0),
        ("hinge", 1.0, 0.0, 1.0, -1.0),
        ("lsgan", 1.0, 0.5, 1.0, 0.0),
        ("lsgan", 0.9, 0.45, 0.9, 0.0),
    ],
)
def test_ends_of_the_loss(loss: GANLoss, label: float, same: float, real: float, completed: float) -> None:
    """At the best answer that is always the same, and at the best answers: as the loss functions themselves say."""

    def total(on_real: float, on_completed: float) -> float:
        logits = torch.tensor([[on_real], [on_completed]], dtype=torch.float64)
        return (d_loss_real(logits[:1], loss, label) + d_loss_fake(logits[1:], loss)).item()

    assert loss_of_guessing(loss, label) == pytest.approx(total(same, same))
    assert all(total(same + step, same + step) >= total(same, same) for step in (-0.01, 0.01))
    assert lowest_loss(loss, label) == pytest.approx(total(real, completed), abs=1e-9)


def read(path: Path) -> list[Point]:
    with path.open(newline="") as file:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


CURVES = [*ROOT.glob("reports/**/curves/*.csv"), *ROOT.glob("reports/ablation/*.csv")]


@pytest.mark.parametrize("path", CURVES, ids=[str(path.relative_to(ROOT / "reports")) for path in CURVES])
def test_the_reports_trainings_raise_none(path: Path) -> None:
    points = read(path)
    stage = path.stem if path.stem in STAGES else "train_joint"
    looked_at = {"pretrain_generator": {"val_psnr", "val_l1_hole"}}.get(stage, set(HEALTHY) - {"val_diversity"})
    assert looked_at <= points[0].keys()  # alarms do not look at a curve without them
    assert alarms(points, "bce", 1.0, stage) == {}


def test_a_curve_without_the_columns_raises_none() -> None:
    assert alarms([], "bce", 1.0) == {}
    assert alarms([{"step": step, "lr_factor": 1.0} for step in range(5)], "bce", 1.0) == {}
