"""Gradients reach whom they should, and nobody else: the published follow-ups' mistakes, one test each."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import TINY, Project, default_tree, merge
from lightning_fabric import Fabric
from torch import Tensor, nn

from glcic.data.batches import Batch, TrainingBatches, validation_batches
from glcic.data.faces import Faces
from glcic.losses import completed_loss, real_loss, reconstruction_loss
from glcic.masks import composite
from glcic.networks import CompletionNetwork, ContextDiscriminator
from glcic.params import Params
from glcic.training.phase import Images, Phase, frozen
from glcic.training.pretrain_discriminators import PretrainDiscriminatorsPhase
from glcic.training.pretrain_generator import PretrainGeneratorPhase
from glcic.training.train_joint import TrainJointPhase

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
    return CompletionNetwork(0.0625), ContextDiscriminator(16, 8, 3, 2, 0.0625)


def joint(fabric: Fabric, **changes: Any) -> TrainJointPhase:
    C, D = networks()
    return TrainJointPhase(fabric, C, D, params(train_joint=changes).train_joint, [0.5] * 3)


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
    reference = CompletionNetwork(0.0625)
    reference.load_state_dict(C.state_dict())
    section = params().pretrain_generator
    phase = PretrainGeneratorPhase(fabric, C, section, [0.5] * 3)
    images = phase.images(next(batches))
    loss = phase.step(images)["reconstruction"]

    expected = reconstruction_loss(reference(images.filled, images.mask), images.image, images.mask, "l1")
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for p, q in zip(C.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)


def test_network_never_sees_what_the_hole_hides(fabric: Fabric, batches: Iterator[Batch]) -> None:
    C, _ = networks()
    phase = PretrainGeneratorPhase(fabric, C, params().pretrain_generator, [0.25, 0.5, 0.75])
    images = phase.images(next(batches))
    hole = images.mask.bool().expand_as(images.image)
    assert torch.equal(images.filled[~hole], images.image[~hole])
    fill = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1).expand_as(images.image)
    assert torch.equal(images.filled[hole], fill[hole])


def test_discriminators_train_alone(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """The completion network neither learns nor moves its batch-norm statistics, and is in eval mode."""
    C, D = networks()
    before, discriminator = copy_of(C), copy_of(D)
    phase = PretrainDiscriminatorsPhase(fabric, C, D, params().pretrain_discriminators, [0.5] * 3)
    for _ in range(3):
        phase.step(phase.images(next(batches)))
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
        phase = TrainJointPhase(fabric, C, D, params().train_joint, [0.5] * 3)
    else:
        phase = PretrainDiscriminatorsPhase(fabric, C, D, params().pretrain_discriminators, [0.5] * 3)
    images = phase.images(next(batches))
    training = copy_of(C)
    calls = record_calls(monkeypatch, ContextDiscriminator)
    phase.step(images)

    reference = CompletionNetwork(0.0625)
    reference.load_state_dict(training)
    reference.train(which == "train_joint")
    completed = composite(reference(images.filled, images.mask), images.image, images.mask)
    judged, corner = calls[0]
    assert torch.equal(judged[:4], images.image)
    assert torch.equal(corner[:4], images.real_window)
    torch.testing.assert_close(judged[4:], completed)
    assert torch.equal(corner[4:], images.window)
    assert not judged.requires_grad  # the discriminator's own update stays out of the generator's graph
    if which == "train_joint":
        judged, corner = calls[1]
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
        reference = ContextDiscriminator(16, 8, 3, 2, 0.0625)
        reference.load_state_dict(D.state_dict())
        frozen_C = CompletionNetwork(0.0625)
        frozen_C.load_state_dict(C.state_dict())
        with torch.no_grad():
            completed = composite(frozen_C(images.filled, images.mask), images.image, images.mask)
        phase.step(images)
        windows = torch.cat([images.real_window, images.window])
        logits = reference(torch.cat([images.image, completed]), windows)
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
        phase.step(images)
        gradients[alpha] = torch.cat([p.grad.flatten() for p in phase.networks["completion"].parameters()])  # type: ignore[union-attr]
    adversarial = gradients[1.0] - gradients[0.0]
    assert adversarial.norm() > 1e-3 * gradients[0.0].norm()
    torch.testing.assert_close(gradients[0.5], gradients[0.0] + adversarial / 2, rtol=1e-3, atol=1e-6)


def test_joint_training_moves_both_networks(fabric: Fabric, batches: Iterator[Batch]) -> None:
    phase = joint(fabric)
    before = {name: copy_of(network) for name, network in phase.networks.items()}
    phase.step(phase.images(next(batches)))
    for name, network in phase.networks.items():
        after = copy_of(network)
        assert all(not torch.equal(after[key], before[name][key]) for key in after if key.endswith("weight")), name


def test_batch_norm_statistics_move_once_a_step(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """The generator's adversarial step must not move the discriminator's statistics."""
    phase = joint(fabric)
    phase.step(phase.images(next(batches)))
    D, C = phase.networks["discriminator"], phase.networks["completion"]
    assert {int(b) for name, b in D.named_buffers() if name.endswith("num_batches_tracked")} == {1}
    assert {int(b) for name, b in C.named_buffers() if name.endswith("num_batches_tracked")} == {1}


def test_frozen_passes_gradients_and_keeps_none() -> None:
    _, D = networks()
    before = copy_of(D)
    image = torch.rand(4, 3, 16, 16, requires_grad=True)
    with frozen(D):
        loss = real_loss(D(image, torch.zeros(4, 2, dtype=torch.int64)))
    loss.backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in D.parameters())
    assert equal(copy_of(D), before)
    assert D.training


def test_validation_changes_nothing(fabric: Fabric, cropped: Project) -> None:
    phase = joint(fabric)
    p = params()
    val = Faces(cropped.folder / "data" / "faces", "val")
    fixed = validation_batches(val, seed=0, images=4, batch=2, holes=p.holes, local_window=8)
    before = {name: copy_of(network) for name, network in phase.networks.items()}
    first, again = phase.validate(fixed), phase.validate(fixed)
    assert first == again
    assert set(first) == {"val_l1_hole", "val_psnr", "val_accuracy_real", "val_accuracy_completed"}
    for name, network in phase.networks.items():
        assert equal(copy_of(network), before[name])
        assert network.training


def test_validation_scores_are_those_of_the_composite(fabric: Fabric, cropped: Project) -> None:
    """A network that answers mid-grey scores what mid-grey scores inside the hole, and nothing outside."""

    class Grey(CompletionNetwork):
        def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
            return super().forward(filled, mask) * 0 + 0.5

    phase = PretrainGeneratorPhase(fabric, Grey(0.0625), params().pretrain_generator, [0.5] * 3)
    val = Faces(cropped.folder / "data" / "faces", "val")
    fixed = validation_batches(val, seed=0, images=4, batch=4, holes=params().holes, local_window=8)
    images: Images = phase.images(fixed[0])
    l1, psnr = [], []
    for image, mask in zip(images.image, images.mask, strict=True):
        difference = (image - 0.5)[:, mask[0] == 1]
        l1.append(100 * difference.abs().mean())
        psnr.append(10 * torch.log10(1 / (difference.square().sum() / image.numel())))
    scores = phase.validate(fixed)
    assert scores["val_l1_hole"] == pytest.approx(float(torch.stack(l1).mean()), rel=1e-5)
    assert scores["val_psnr"] == pytest.approx(float(torch.stack(psnr).mean()), rel=1e-5)
