"""Gradients reach whom they should, and nobody else: the published follow-ups' mistakes, one test each."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch, TrainingBatches, validation_batches
from glcic.data.faces import Faces
from glcic.masks.geometry import composite
from glcic.networks.discriminators.context import ContextDiscriminator
from glcic.networks.generators.glcic import CompletionNetwork
from glcic.networks.layers import last_layer
from glcic.params import Adversarial, Params
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase, discriminator_gradients
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from glcic.phases.train_joint import TrainJointPhase
from glcic.training.losses import completed_loss, generator_loss, real_loss, reconstruction_loss
from glcic.training.phase import Phase, PreparedBatch, frozen, is_real, validation_scores
from support.networks import context, generator, glcic, patchgan
from support.project import TINY, Project, default_tree, merge

Weights = dict[str, Tensor]


def params(**changes: Any) -> Params:
    return Params.model_validate(merge(merge(default_tree(), TINY), changes))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    torch.set_num_threads(1)
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture(scope="module")
def batches(cropped: Project) -> Iterator[Batch]:
    p = params()
    faces = Faces(cropped.folder / "data" / "faces", "train")
    dataset = TrainingBatches(
        faces, seed=0, stage="train_joint", batch=4, holes=p.holes, augmentation=p.augmentation, local_window=8
    )
    return (dataset[step] for step in range(1000))


def networks() -> tuple[CompletionNetwork, ContextDiscriminator]:
    torch.manual_seed(0)
    return generator(0.0625), context(16, 8, 3, 2, 0.0625)


def joint(
    fabric: Fabric,
    C: nn.Module | None = None,
    D: nn.Module | None = None,
    section: Adversarial | None = None,
    **changes: Any,
) -> TrainJointPhase:
    plain_C, plain_D = networks()
    p = params(train_joint=changes)
    return TrainJointPhase(
        fabric, C or plain_C, D or plain_D, p.train_joint, section or p.adversarial, p.input, [0.5] * 3
    )


def generator_phase(fabric: Fabric, C: nn.Module | None = None, **changes: Any) -> PretrainGeneratorPhase:
    p = params(pretrain_generator=changes)
    return PretrainGeneratorPhase(fabric, C or networks()[0], p.pretrain_generator, p.input, [0.5] * 3)


@pytest.fixture(scope="module")
def fixed(cropped: Project) -> list[Batch]:
    """Validation batches."""
    val = Faces(cropped.folder / "data" / "faces", "val")
    return validation_batches(val, seed=0, images=4, batch=2, holes=params().holes, local_window=8)


def gradients_of(network: nn.Module) -> Weights:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def norm(gradients: Weights) -> float:
    return float(torch.cat([g.flatten() for g in gradients.values()]).norm())


def copy_of(network: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def equal(a: Weights, b: Weights) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def record_calls(monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module]) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    original = kind.forward

    def forward(self: nn.Module, *arguments: Any) -> Any:
        calls.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(kind, "forward", forward)
    return calls


def test_pretraining_follows_the_gradient_of_the_hole_alone(fabric: Fabric, batches: Iterator[Batch]) -> None:
    C, _ = networks()
    reference = generator(0.0625)
    reference.load_state_dict(C.state_dict())
    section = params().pretrain_generator
    phase = PretrainGeneratorPhase(fabric, C, section, params().input, [0.5] * 3)
    images = phase.images(next(batches))
    loss = phase.step([images])["reconstruction"]

    expected = reconstruction_loss(
        reference(images.filled, images.mask), images.image, images.mask, section.reconstruction, 1.0
    )
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for p, q in zip(C.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)


def test_network_never_sees_what_the_hole_hides(fabric: Fabric, batches: Iterator[Batch]) -> None:
    C, _ = networks()
    phase = PretrainGeneratorPhase(fabric, C, params().pretrain_generator, params().input, [0.25, 0.5, 0.75])
    images = phase.images(next(batches))
    hole = images.mask.bool().expand_as(images.image)
    assert torch.equal(images.filled[~hole], images.image[~hole])
    fill = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1).expand_as(images.image)
    assert torch.equal(images.filled[hole], fill[hole])


def test_discriminators_train_alone(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """The completion network neither learns nor moves its batch-norm statistics, and is in eval mode."""
    C, D = networks()
    before, discriminator = copy_of(C), copy_of(D)
    phase = PretrainDiscriminatorsPhase(
        fabric, C, D, params().pretrain_discriminators, params().adversarial, params().input, [0.5] * 3
    )
    for _ in range(3):
        phase.step([phase.images(next(batches))])
    assert equal(copy_of(C), before)
    assert not C.training
    assert all(p.grad is None for p in C.parameters())
    assert not equal(copy_of(D), discriminator)


@pytest.mark.parametrize("which", ["pretrain_discriminators", "train_joint"])
def test_discriminator_judges_composites_at_each_images_own_window(
    fabric: Fabric, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    C, D = networks()
    phase: Phase
    if which == "train_joint":
        phase = TrainJointPhase(fabric, C, D, params().train_joint, params().adversarial, params().input, [0.5] * 3)
    else:
        phase = PretrainDiscriminatorsPhase(
            fabric, C, D, params().pretrain_discriminators, params().adversarial, params().input, [0.5] * 3
        )
    images = phase.images(next(batches))
    training = copy_of(C)
    calls = record_calls(monkeypatch, ContextDiscriminator)
    phase.step([images])

    reference = generator(0.0625)
    reference.load_state_dict(training)
    reference.train(which == "train_joint")
    completed = composite(reference(images.filled, images.mask), images.image, images.mask)
    judged, _, corner = calls[0]
    assert torch.equal(judged[:4], images.image)
    assert torch.equal(corner[:4], images.real_window)
    torch.testing.assert_close(judged[4:], completed)
    assert torch.equal(corner[4:], images.window)
    assert not judged.requires_grad  # the discriminator's own update stays out of the generator's graph
    if which == "train_joint":
        judged, _, corner = calls[1]
        torch.testing.assert_close(judged, completed)
        assert torch.equal(corner, images.window)
        assert judged.requires_grad
    assert len(calls) == (2 if which == "train_joint" else 1)


def test_discriminators_joint_update_is_its_clean_gradient(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """Step after step; nothing of the generator's adversarial gradient is left in it."""
    phase = joint(fabric, adversarial={"weight": 1.0})
    C, D = phase.networks["completion"], phase.networks["discriminator"]
    for _ in range(3):
        images = phase.images(next(batches))
        reference = context(16, 8, 3, 2, 0.0625)
        reference.load_state_dict(D.state_dict())
        frozen_C = generator(0.0625)
        frozen_C.load_state_dict(C.state_dict())
        with torch.no_grad():
            completed = composite(frozen_C(images.filled, images.mask), images.image, images.mask)
        phase.step([images])
        windows = torch.cat([images.real_window, images.window])
        logits = reference(torch.cat([images.image, completed]), torch.cat([images.mask] * 2), windows)
        (real_loss(logits[:4]) + completed_loss(logits[4:])).backward()
        for p, q in zip(D.parameters(), reference.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5)


def test_generators_joint_gradient_is_reconstruction_plus_alpha_adversarial(
    fabric: Fabric, batches: Iterator[Batch]
) -> None:
    gradients = {}
    images = joint(fabric).images(next(batches))
    for alpha in (0.0, 0.5, 1.0):
        phase = joint(fabric, adversarial={"weight": alpha})
        phase.step([images])
        gradients[alpha] = torch.cat([p.grad.flatten() for p in phase.networks["completion"].parameters()])  # type: ignore[union-attr]
    adversarial = gradients[1.0] - gradients[0.0]
    assert adversarial.norm() > 1e-3 * gradients[0.0].norm()
    torch.testing.assert_close(gradients[0.5], gradients[0.0] + adversarial / 2, rtol=1e-3, atol=1e-6)


def test_joint_training_moves_both_networks(fabric: Fabric, batches: Iterator[Batch]) -> None:
    phase = joint(fabric)
    before = {name: copy_of(network) for name, network in phase.networks.items()}
    phase.step([phase.images(next(batches))])
    for name, network in phase.networks.items():
        after = copy_of(network)
        assert all(not torch.equal(after[key], before[name][key]) for key in after if key.endswith("weight")), name


def test_batch_norm_statistics_move_once_a_step(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """The generator's adversarial step must not move the discriminator's statistics."""
    phase = joint(fabric)
    phase.step([phase.images(next(batches))])
    D, C = phase.networks["discriminator"], phase.networks["completion"]
    assert {int(b) for name, b in D.named_buffers() if name.endswith("num_batches_tracked")} == {1}
    assert {int(b) for name, b in C.named_buffers() if name.endswith("num_batches_tracked")} == {1}


def test_frozen_passes_gradients_and_keeps_none() -> None:
    _, D = networks()
    before = copy_of(D)
    image = torch.rand(4, 3, 16, 16, requires_grad=True)
    with frozen(D):
        loss = real_loss(D(image, torch.zeros(4, 1, 16, 16), torch.zeros(4, 2, dtype=torch.int64)))
    loss.backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in D.parameters())
    assert equal(copy_of(D), before)
    assert D.training


def test_validation_changes_nothing(fabric: Fabric, fixed: list[Batch]) -> None:
    phase = joint(fabric)
    before = {name: copy_of(network) for name, network in phase.networks.items()}
    first, again = phase.validate(fixed), phase.validate(fixed)
    assert first == again
    scores = "l1_hole psnr accuracy_real accuracy_completed gradient_reconstruction gradient_adversarial gradient_ratio"
    assert list(first) == [f"val_{name}" for name in (*scores.split(), "saturated", "variety")]
    for name, network in phase.networks.items():
        assert equal(copy_of(network), before[name])
        assert network.training


def test_validation_scores_are_those_of_the_composite(fabric: Fabric, cropped: Project) -> None:
    """A network that answers mid-grey scores what mid-grey scores inside the hole, and nothing outside."""

    class Grey(CompletionNetwork):
        def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
            return super().forward(filled, mask) * 0 + 0.5

    phase = PretrainGeneratorPhase(fabric, Grey(glcic(0.0625)), params().pretrain_generator, params().input, [0.5] * 3)
    val = Faces(cropped.folder / "data" / "faces", "val")
    fixed = validation_batches(val, seed=0, images=4, batch=4, holes=params().holes, local_window=8)
    images: PreparedBatch = phase.images(fixed[0])
    l1, psnr = [], []
    for image, mask in zip(images.image, images.mask, strict=True):
        difference = (image - 0.5)[:, mask[0] == 1]
        l1.append(100 * difference.abs().mean())
        psnr.append(10 * torch.log10(1 / (difference.square().sum() / image.numel())))
    scores = phase.validate(fixed)
    assert scores["val_l1_hole"] == pytest.approx(float(torch.stack(l1).mean()), rel=1e-5)
    assert scores["val_psnr"] == pytest.approx(float(torch.stack(psnr).mean()), rel=1e-5)


@pytest.mark.parametrize("make", [generator_phase, joint])
def test_moving_average_is_what_is_scored_and_kept(
    fabric: Fabric, batches: Iterator[Batch], fixed: list[Batch], make: Callable[..., Phase]
) -> None:
    """The first update copies; then it is decay · average + (1 − decay) · weights, batch-norm statistics included."""
    phase = make(fabric, ema=0.75)
    network = phase.networks["completion"]
    average: Weights = {}
    for step in range(3):
        phase.step([phase.images(next(batches))])
        now = {name: tensor for name, tensor in copy_of(network).items() if tensor.is_floating_point()}
        average = {name: 0.75 * average[name] + 0.25 * now[name] for name in now} if step else now
        torch.testing.assert_close({name: phase.kept("completion").state_dict()[name] for name in now}, average)
    reference = generator(0.0625)
    reference.load_state_dict(average, strict=False)
    scores, raw = validation_scores(phase, reference, fixed), validation_scores(phase, network, fixed)
    assert scores != pytest.approx(raw, rel=1e-4)
    assert {name: phase.validate(fixed)[name] for name in scores} == pytest.approx(scores, rel=1e-4)


def test_without_a_moving_average_the_network_itself_is_kept(fabric: Fabric) -> None:
    phase = joint(fabric, ema=0.75)
    assert phase.kept("discriminator") is phase.networks["discriminator"]
    assert joint(fabric).kept("completion") is not phase.kept("completion")
    assert generator_phase(fabric).averages == {}


def test_clip_bounds_the_norm_of_each_networks_gradient(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """And keeps its direction; a gradient within the bound stays as it is."""
    images = joint(fabric).images(next(batches))
    found = {}
    for clip in (None, 1e-3, 1e3):
        phase = joint(fabric, clip=clip)
        phase.step([images])
        found[clip] = gradients_of(phase.networks["discriminator"])
        if clip == 1e-3:
            assert norm(gradients_of(phase.networks["completion"])) == pytest.approx(clip, rel=1e-2)
    assert norm(found[None]) > 0.1
    scale = 1e-3 / norm(found[None])
    torch.testing.assert_close(found[1e-3], {name: g * scale for name, g in found[None].items()}, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(found[1e3], found[None])


def without_batch_norm(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return network


@pytest.mark.parametrize("which", ["pretrain_generator", "pretrain_discriminators", "train_joint"])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(
    fabric: Fabric, batches: Iterator[Batch], which: str
) -> None:
    """Without batch norm, which sees one part at a time; losses are means over the parts."""
    batch = next(batches)
    found, losses = [], []
    # A rate so small that the discriminator C learns from is the same, whatever Adam makes of rounding.
    slow: Any = {"discriminator_optimiser": {"learning_rate": 1e-7}}
    for parts in (1, 2):
        C, D = (without_batch_norm(network) for network in networks())
        phase: Phase
        if which == "pretrain_generator":
            phase = generator_phase(fabric, C)
        elif which == "train_joint":
            phase = joint(fabric, C, D, adversarial={"weight": 1.0}, **slow)
        else:
            p = params()
            phase = PretrainDiscriminatorsPhase(
                fabric, C, D, p.pretrain_discriminators, p.adversarial, p.input, [0.5] * 3
            )
        before = {name: copy_of(network) for name, network in phase.networks.items()}
        losses.append(phase.step([phase.images(part) for part in batch.split(parts)]))
        assert not any(equal(copy_of(network), before[name]) for name, network in phase.networks.items())
        found.append({name: gradients_of(network) for name, network in phase.networks.items()})
    for name in found[0]:
        assert norm(found[0][name]) > 1e-3
        torch.testing.assert_close(found[1][name], found[0][name], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("recent", "skipped"), [(0.81, True), (0.79, False)])
def test_a_discriminator_that_wins_skips_its_step(
    fabric: Fabric, batches: Iterator[Batch], recent: float, skipped: bool
) -> None:
    """C learns all the same, and the accuracy of this step is remembered in place of the oldest."""
    phase = joint(fabric, skip_above=0.8)
    C, D = phase.networks["completion"], phase.networks["discriminator"]
    assert phase.memory["accuracies"].tolist() == [0.5] * 50
    phase.memory["accuracies"] = torch.linspace(recent - 0.1, recent + 0.1, 50)
    remembered, before = phase.memory["accuracies"].clone(), {C: copy_of(C), D: copy_of(D)}
    reference_C, reference_D = copy.deepcopy(C), copy.deepcopy(D)
    images = phase.images(next(batches))
    losses = phase.step([images])

    moved = {n: not all(torch.equal(p, before[n][k]) for k, p in n.named_parameters()) for n in (C, D)}
    assert moved == {C: True, D: not skipped}
    assert losses["skipped"].item() == skipped
    completed = composite(reference_C(images.filled, images.mask), images.image, images.mask)
    windows = torch.cat([images.real_window, images.window])
    logits = reference_D(torch.cat([images.image, completed]), torch.cat([images.mask] * 2), windows)
    right = torch.cat([is_real(logits[:4], "bce"), ~is_real(logits[4:], "bce")]).float().mean()
    torch.testing.assert_close(phase.memory["accuracies"], torch.cat([remembered[1:], right[None]]))


@pytest.mark.parametrize("ratio", [0.1, 2.0])
def test_balance_is_the_ratio_of_the_gradients_norms_at_the_last_layer(
    fabric: Fabric, batches: Iterator[Batch], ratio: float
) -> None:
    phase = joint(fabric, adversarial={"weight": None, "balance": ratio})
    C, D = phase.networks["completion"], phase.networks["discriminator"]
    reference = copy.deepcopy(C)
    images = phase.images(next(batches))
    alpha = phase.step([images])["alpha"].item()

    output = reference(images.filled, images.mask)
    D.eval()  # as it was after its own update, when C learnt from it
    judged = D(composite(output, images.image, images.mask), images.mask, images.window)
    section = params().train_joint.reconstruction
    reconstruction = reconstruction_loss(output, images.image, images.mask, section, 1.0)
    weight = last_layer(reference)
    (wanted,) = torch.autograd.grad(reconstruction, weight, retain_graph=True)
    (given,) = torch.autograd.grad(generator_loss(judged), weight)
    assert alpha * given.norm().item() == pytest.approx(ratio * wanted.norm().item(), rel=1e-3)
    torch.testing.assert_close(last_layer(C).grad, wanted + alpha * given, rtol=1e-3, atol=1e-5)


BCE = Adversarial(loss="bce", real_label=1.0, r1=0.0)


@pytest.mark.parametrize(
    ("discriminator", "section"),
    [
        (lambda: context(16, 8, 3, 2, 0.0625, spectral_norm=True), BCE),
        (lambda: context(16, 8, 3, 2, 0.0625, mask_channel=True), BCE),
        (lambda: context(16, 8, 3, 2, 0.0625, labels="per_branch"), BCE),
        (lambda: patchgan(4), BCE.model_copy(update={"real_label": 0.9})),
        (lambda: patchgan(4, spectral_norm=True, mask_channel=True), BCE),
        (lambda: context(16, 8, 3, 2, 0.0625), BCE.model_copy(update={"loss": "hinge"})),
        (lambda: context(16, 8, 3, 2, 0.0625), BCE.model_copy(update={"loss": "least_squares"})),
        (lambda: context(16, 8, 3, 2, 0.0625, spectral_norm=True), BCE.model_copy(update={"r1": 10.0})),
        (lambda: patchgan(4), BCE.model_copy(update={"r1": 10.0})),
    ],
    ids=["spectral", "mask", "per_branch", "patch", "patch_all", "hinge", "squares", "r1_spectral", "r1_patch"],
)
def test_every_discriminator_learns_alone_and_teaches_the_generator(
    fabric: Fabric,
    batches: Iterator[Batch],
    monkeypatch: pytest.MonkeyPatch,
    discriminator: Callable[[], nn.Module],
    section: Adversarial,
) -> None:
    """Its own update reaches all of it and nothing of C; C's reaches C and leaves the discriminator's gradients."""

    def made(alpha: float) -> TrainJointPhase:
        C, _ = networks()
        return joint(fabric, C, discriminator(), section, adversarial={"weight": alpha})

    alone = made(1.0)
    C, D = alone.networks["completion"], alone.networks["discriminator"]
    images = alone.images(next(batches))
    with torch.no_grad():
        completed = composite(C(images.filled, images.mask), images.image, images.mask)
    calls = record_calls(monkeypatch, type(D))
    (losses,) = discriminator_gradients(alone, alone.D, [images], [completed], section)
    clean = gradients_of(D)
    assert clean.keys() == dict(D.named_parameters()).keys()
    assert all(norm({name: g}) > 0 for name, g in clean.items() if not name.endswith("bias"))
    assert gradients_of(C) == {}
    assert ("r1" in losses) == (section.r1 > 0)
    # Told the mask, it could tell a window that does not belong to it.
    real_window = images.window if D.mask_channel else images.real_window
    assert torch.equal(calls[0][2], torch.cat([real_window, images.window]))
    assert torch.equal(calls[0][1], torch.cat([images.mask, images.mask]))

    taught = {}
    for alpha in (0.0, 1.0):
        phase = made(alpha)
        phase.step([images])
        torch.testing.assert_close(gradients_of(phase.networks["discriminator"]), clean, rtol=1e-3, atol=1e-6)
        taught[alpha] = gradients_of(phase.networks["completion"])
    assert taught[1.0].keys() == dict(C.named_parameters()).keys()
    assert norm({name: taught[1.0][name] - g for name, g in taught[0.0].items()}) > 1e-3 * norm(taught[0.0])


def test_r1_is_part_of_the_discriminators_gradient(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """Its weight is that of the gradient: twice the weight, twice the difference."""
    images = joint(fabric).images(next(batches))
    found = {}
    for r1 in (0.0, 1.0, 2.0):
        phase = joint(fabric, section=BCE.model_copy(update={"r1": r1}))
        phase.step([images])
        found[r1] = gradients_of(phase.networks["discriminator"])
    once = {name: found[1.0][name] - g for name, g in found[0.0].items()}
    assert norm(once) > 1e-4
    twice = {name: g + 2 * once[name] for name, g in found[0.0].items()}
    torch.testing.assert_close(found[2.0], twice, rtol=1e-3, atol=1e-5)


def test_balance_and_r1_work_under_mixed_precision(batches: Iterator[Batch]) -> None:
    """Fabric takes a gradient that is asked for in passing for a forgotten `fabric.backward`, and raises."""
    mixed = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    phase = joint(mixed, section=BCE.model_copy(update={"r1": 1.0}), adversarial={"weight": None, "balance": 0.1})
    losses = phase.step([phase.images(next(batches))])
    assert 0 < losses["alpha"] < 1e4
    assert losses["r1"] > 0


def test_validation_judges_real_images_where_training_does(
    fabric: Fabric, cropped: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A discriminator that sees the mask is scored with windows that belong to it."""
    p = params()
    val = Faces(cropped.folder / "data" / "faces", "val")
    fixed = validation_batches(val, seed=0, images=4, batch=4, holes=p.holes, local_window=8)
    for sees_mask in (False, True):
        C, _ = networks()
        D = context(16, 8, 3, 2, 0.0625, mask_channel=sees_mask)
        phase = TrainJointPhase(fabric, C, D, p.train_joint, p.adversarial, p.input, [0.5] * 3)
        images = phase.images(fixed[0])
        assert not torch.equal(images.real_window, images.window)
        with monkeypatch.context() as patch:
            calls = record_calls(patch, ContextDiscriminator)
            phase.validate(fixed)
        assert torch.equal(calls[0][2], images.window if sees_mask else images.real_window)
