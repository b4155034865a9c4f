"""Gradients reach whom they should, and nobody else: the published follow-ups' mistakes, one test each."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from glcic.data.batches import Batch, TrainingBatches, validation_batches
from glcic.data.packed import PackedImages
from glcic.masks.geometry import composite
from glcic.networks.discriminators.global_local import GlobalLocalDiscriminator
from glcic.networks.generators.glcic import GlcicGenerator
from glcic.networks.layers import last_layer
from glcic.params import GAN, Adadelta, Norm, Params
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase, backward_discriminator
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from glcic.phases.train_joint import TrainJointPhase
from glcic.training.loop import TrainState, take_step
from glcic.training.losses import d_loss_fake, d_loss_real, g_loss, reconstruction_loss
from glcic.training.phase import (
    CompletionScores,
    DiscriminatorScores,
    MaskedBatch,
    Phase,
    complete,
    frozen,
    is_real,
    update_average,
)
from support.devices import NoCopiesThatWait, without_values
from support.networks import generator, glcic, global_local, patchgan
from support.project import TINY, Project, default_tree, merge

Weights = dict[str, Tensor]


def params(**changes: Any) -> Params:
    return Params.model_validate(merge(merge(default_tree(), TINY), changes))


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    torch.set_num_threads(1)
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def batches(cropped: Project) -> Iterator[Batch]:
    """Training batches, from the first one, whatever other tests have taken."""
    p = params()
    packed = PackedImages(cropped.folder / "data" / "images", "train")
    dataset = TrainingBatches(
        packed, seed=0, stage="train_joint", batch_size=4, masks=p.masks, augmentation=p.augmentation, local_window=8
    )
    return (dataset[step] for step in range(1000))


def networks() -> tuple[GlcicGenerator, GlobalLocalDiscriminator]:
    torch.manual_seed(0)
    return generator(0.0625), global_local(16, 8, 3, 2, 0.0625)


def joint(
    fabric: Fabric,
    G: nn.Module | None = None,
    D: nn.Module | None = None,
    section: GAN | None = None,
    **changes: Any,
) -> TrainJointPhase:
    plain_G, plain_D = networks()
    p = params(train_joint=changes)
    return TrainJointPhase(fabric, G or plain_G, D or plain_D, p.train_joint, section or p.gan, p.input, [0.5] * 3)


def generator_phase(fabric: Fabric, G: nn.Module | None = None, **changes: Any) -> PretrainGeneratorPhase:
    p = params(pretrain_generator=changes)
    return PretrainGeneratorPhase(fabric, G or networks()[0], p.pretrain_generator, p.input, [0.5] * 3)


@pytest.fixture(scope="module")
def fixed(cropped: Project) -> list[Batch]:
    """Validation batches."""
    val = PackedImages(cropped.folder / "data" / "images", "val")
    return validation_batches(val, seed=0, num_images=4, batch_size=2, masks=params().masks, local_window=8)


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
    G, _ = networks()
    reference = generator(0.0625)
    reference.load_state_dict(G.state_dict())
    section = params().pretrain_generator
    phase = PretrainGeneratorPhase(fabric, G, section, params().input, [0.5] * 3)
    images = phase.preprocess(next(batches))
    loss = phase.step([images])["g_loss_rec"]

    expected = reconstruction_loss(
        reference(images.filled, images.mask), images.image, images.mask, section.reconstruction, 1.0
    )
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for p, q in zip(G.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)


def test_network_never_sees_what_the_hole_hides(fabric: Fabric, batches: Iterator[Batch]) -> None:
    G, _ = networks()
    phase = PretrainGeneratorPhase(fabric, G, params().pretrain_generator, params().input, [0.25, 0.5, 0.75])
    images = phase.preprocess(next(batches))
    hole = images.mask.bool().expand_as(images.image)
    assert torch.equal(images.filled[~hole], images.image[~hole])
    fill = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1).expand_as(images.image)
    assert torch.equal(images.filled[hole], fill[hole])


def test_discriminators_train_alone(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """The generator neither learns nor moves its batch-norm statistics, and is in eval mode."""
    G, D = networks()
    before, discriminator = copy_of(G), copy_of(D)
    phase = PretrainDiscriminatorsPhase(
        fabric, G, D, params().pretrain_discriminators, params().gan, params().input, [0.5] * 3
    )
    for _ in range(3):
        phase.step([phase.preprocess(next(batches))])
    assert equal(copy_of(G), before)
    assert not G.training
    assert all(p.grad is None for p in G.parameters())
    assert not equal(copy_of(D), discriminator)


@pytest.mark.parametrize("which", ["pretrain_discriminators", "train_joint"])
def test_discriminator_judges_composites_at_each_images_own_window(
    fabric: Fabric, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    G, D = networks()
    phase: Phase
    if which == "train_joint":
        phase = TrainJointPhase(fabric, G, D, params().train_joint, params().gan, params().input, [0.5] * 3)
    else:
        phase = PretrainDiscriminatorsPhase(
            fabric, G, D, params().pretrain_discriminators, params().gan, params().input, [0.5] * 3
        )
    images = phase.preprocess(next(batches))
    training = copy_of(G)
    calls = record_calls(monkeypatch, GlobalLocalDiscriminator)
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
    phase = joint(fabric, adv_weight=1.0)
    G, D = phase.networks["generator"], phase.networks["discriminator"]
    for _ in range(3):
        images = phase.preprocess(next(batches))
        reference = global_local(16, 8, 3, 2, 0.0625)
        reference.load_state_dict(D.state_dict())
        frozen_G = generator(0.0625)
        frozen_G.load_state_dict(G.state_dict())
        with torch.no_grad():
            completed = composite(frozen_G(images.filled, images.mask), images.image, images.mask)
        phase.step([images])
        windows = torch.cat([images.real_window, images.window])
        logits = reference(torch.cat([images.image, completed]), torch.cat([images.mask] * 2), windows)
        (d_loss_real(logits[:4]) + d_loss_fake(logits[4:])).backward()
        for p, q in zip(D.parameters(), reference.parameters(), strict=True):
            assert p.grad is not None
            assert q.grad is not None
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5)


def test_generators_joint_gradient_is_reconstruction_plus_alpha_adversarial(
    fabric: Fabric, batches: Iterator[Batch]
) -> None:
    gradients = {}
    images = joint(fabric).preprocess(next(batches))
    for adv_weight in (0.0, 0.5, 1.0):
        phase = joint(fabric, adv_weight=adv_weight)
        phase.step([images])
        gradients[adv_weight] = torch.cat([p.grad.flatten() for p in phase.networks["generator"].parameters()])  # type: ignore[union-attr]
    adversarial = gradients[1.0] - gradients[0.0]
    assert adversarial.norm() > 1e-3 * gradients[0.0].norm()
    # Rounding of the three passes leaves 2e-6; another α would be off by a hundred times that.
    assert adversarial.abs().max() > 1e-3
    torch.testing.assert_close(gradients[0.5], gradients[0.0] + adversarial / 2, rtol=1e-3, atol=1e-5)


def test_joint_training_moves_both_networks(fabric: Fabric, batches: Iterator[Batch]) -> None:
    phase = joint(fabric)
    before = {name: copy_of(network) for name, network in phase.networks.items()}
    phase.step([phase.preprocess(next(batches))])
    for name, network in phase.networks.items():
        after = copy_of(network)
        assert all(not torch.equal(after[key], before[name][key]) for key in after if key.endswith("weight")), name


def test_batch_norm_statistics_move_once_a_step(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """The generator's adversarial step must not move the discriminator's statistics."""
    phase = joint(fabric)
    phase.step([phase.preprocess(next(batches))])
    D, G = phase.networks["discriminator"], phase.networks["generator"]
    assert {int(b) for name, b in D.named_buffers() if name.endswith("num_batches_tracked")} == {1}
    assert {int(b) for name, b in G.named_buffers() if name.endswith("num_batches_tracked")} == {1}


def test_the_generator_learns_from_the_discriminator_as_it_is_trained(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """Batch norm in it normalizes by the completed images of the batch, and forgets them; validation does the same."""
    phase = joint(fabric, adv_weight=1.0)
    G, D = phase.networks["generator"], phase.networks["discriminator"]
    images = phase.preprocess(next(batches))
    phase.step([images])
    for norm in (m for m in D.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        norm.running_mean.add_(1.0)  # far from any batch: whoever used it would notice
    reference, before = copy.deepcopy(D).train(), copy_of(D)
    output = G(images.filled, images.mask)
    _, loss = phase._generator_losses(images, output, phase.D)
    completed = composite(output, images.image, images.mask)
    expected = g_loss(reference(completed, images.mask, images.window))
    torch.testing.assert_close(loss, expected)
    found, wanted = (torch.autograd.grad(of, output, retain_graph=True)[0] for of in (loss, expected))
    torch.testing.assert_close(found, wanted)
    assert equal(before, copy_of(D))
    assert D.training
    assert all(m.training and m.track_running_stats for m in D.modules() if isinstance(m, nn.BatchNorm2d))

    scores = DiscriminatorScores(D, "bce")
    scores.add(images, completed.detach())
    windows = torch.cat([images.real_window, images.window])
    logits = reference(torch.cat([images.image, completed]), torch.cat([images.mask] * 2), windows)
    right = torch.stack([is_real(logits[:4], "bce"), ~is_real(logits[4:], "bce")]).float().mean(dim=1)
    assert list(scores.values().values()) == right.tolist()
    assert equal(before, copy_of(D))


def test_frozen_passes_gradients_and_keeps_none() -> None:
    _, D = networks()
    before = copy_of(D)
    image = torch.rand(4, 3, 16, 16, requires_grad=True)
    with frozen(D):
        loss = d_loss_real(D(image, torch.zeros(4, 1, 16, 16), torch.zeros(4, 2, dtype=torch.int64)))
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
    scores = "l1_hole psnr d_acc_real d_acc_fake grad_norm_rec grad_norm_adv grad_norm_ratio"
    assert list(first) == [f"val_{name}" for name in (*scores.split(), "saturated", "diversity")]
    for name, network in phase.networks.items():
        assert equal(copy_of(network), before[name])
        assert network.training


def test_validation_scores_are_those_of_the_composite(fabric: Fabric, cropped: Project) -> None:
    """A network that answers mid-gray scores what mid-gray scores inside the hole, and nothing outside."""

    class Gray(GlcicGenerator):
        def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
            return super().forward(filled, mask) * 0 + 0.5

    phase = PretrainGeneratorPhase(fabric, Gray(glcic(0.0625)), params().pretrain_generator, params().input, [0.5] * 3)
    val = PackedImages(cropped.folder / "data" / "images", "val")
    fixed = validation_batches(val, seed=0, num_images=4, batch_size=4, masks=params().masks, local_window=8)
    images: MaskedBatch = phase.preprocess(fixed[0])
    l1, psnr = [], []
    for image, mask in zip(images.image, images.mask, strict=True):
        difference = (image - 0.5)[:, mask[0] == 1]
        l1.append(100 * difference.abs().mean())
        psnr.append(10 * torch.log10(1 / (difference.square().sum() / image.numel())))
    scores = phase.validate(fixed)
    assert scores["val_l1_hole"] == pytest.approx(float(torch.stack(l1).mean()), rel=1e-5)
    assert scores["val_psnr"] == pytest.approx(float(torch.stack(psnr).mean()), rel=1e-5)


@pytest.mark.parametrize("make", [generator_phase, joint])
def test_moving_average_is_what_is_scored_and_saved(
    fabric: Fabric, batches: Iterator[Batch], fixed: list[Batch], make: Callable[..., Phase]
) -> None:
    """The first update copies; then it is decay · average + (1 − decay) · weights, batch-norm statistics included.

    So the untrained start is not averaged, and at first the average is short: its decay grows with its age.
    """
    phase = make(fabric, ema_decay=0.24)
    network = phase.networks["generator"]
    average: Weights = {}
    for step in range(3):
        phase.step([phase.preprocess(next(batches))])
        now = {name: tensor for name, tensor in copy_of(network).items() if tensor.is_floating_point()}
        decay = (0.0, 2 / 11, 0.24)[step]  # (1 + k) / (10 + k), until it exceeds the parameter
        average = {name: decay * average[name] + (1 - decay) * now[name] for name in now} if step else now
        torch.testing.assert_close({name: phase.scored("generator").state_dict()[name] for name in now}, average)
    reference = generator(0.0625)
    reference.load_state_dict(average, strict=False)
    scores, raw = scores_of(phase, reference, fixed), scores_of(phase, network, fixed)
    assert scores != pytest.approx(raw, rel=1e-4)
    assert {name: phase.validate(fixed)[name] for name in scores} == pytest.approx(scores, rel=1e-4)


def scores_of(phase: Phase, network: nn.Module, batches: list[Batch]) -> dict[str, float]:
    scores = CompletionScores(phase.preprocessor)
    for images in map(phase.preprocess, batches):
        scores.add(images, complete(network, images))
    return scores.values()


@pytest.mark.parametrize("make", [generator_phase, joint])
def test_one_pass_of_the_generator_serves_all_of_validation(
    fabric: Fabric, fixed: list[Batch], monkeypatch: pytest.MonkeyPatch, make: Callable[..., Phase]
) -> None:
    phase = make(fabric)
    calls = record_calls(monkeypatch, GlcicGenerator)
    phase.validate(fixed)
    assert len(calls) == len(fixed) == 2


def test_without_a_moving_average_the_network_itself_is_scored(fabric: Fabric) -> None:
    phase = joint(fabric, ema_decay=0.75)
    assert phase.scored("discriminator") is phase.networks["discriminator"]
    assert joint(fabric).scored("generator") is not phase.scored("generator")
    assert generator_phase(fabric).averages == {}


def test_max_grad_norm_bounds_each_networks_gradient(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """And keeps its direction; a gradient within the bound stays as it is."""
    images = joint(fabric).preprocess(next(batches))
    found = {}
    for max_norm in (None, 1e-3, 1e3):
        phase = joint(fabric, max_grad_norm=max_norm)
        phase.step([images])
        found[max_norm] = gradients_of(phase.networks["discriminator"])
        if max_norm == 1e-3:
            assert norm(gradients_of(phase.networks["generator"])) == pytest.approx(max_norm, rel=1e-2)
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
    # A rate so small that the discriminator G learns from is the same, whatever Adam makes of rounding.
    slow: Any = {"optimizer_d": {"lr": 1e-7}}
    for parts in (1, 2):
        G, D = (without_batch_norm(network) for network in networks())
        phase: Phase
        if which == "pretrain_generator":
            phase = generator_phase(fabric, G)
        elif which == "train_joint":
            phase = joint(fabric, G, D, adv_weight=1.0, **slow)
        else:
            p = params()
            phase = PretrainDiscriminatorsPhase(fabric, G, D, p.pretrain_discriminators, p.gan, p.input, [0.5] * 3)
        before = {name: copy_of(network) for name, network in phase.networks.items()}
        losses.append(phase.step([phase.preprocess(part) for part in batch.split(parts)]))
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
    """G learns all the same, and the accuracy of this step is remembered in place of the oldest."""
    phase = joint(fabric, d_skip_accuracy=0.8)
    G, D = phase.networks["generator"], phase.networks["discriminator"]
    assert phase.memory["accuracies"].tolist() == [0.5] * 50
    phase.memory["accuracies"] = torch.linspace(recent - 0.1, recent + 0.1, 50)
    remembered, before = phase.memory["accuracies"].clone(), {G: copy_of(G), D: copy_of(D)}
    reference_G, reference_D = copy.deepcopy(G), copy.deepcopy(D)
    images = phase.preprocess(next(batches))
    losses = phase.step([images])

    moved = {n: not all(torch.equal(p, before[n][k]) for k, p in n.named_parameters()) for n in (G, D)}
    assert moved == {G: True, D: not skipped}
    assert losses["d_skipped"].item() == skipped
    completed = composite(reference_G(images.filled, images.mask), images.image, images.mask)
    windows = torch.cat([images.real_window, images.window])
    logits = reference_D(torch.cat([images.image, completed]), torch.cat([images.mask] * 2), windows)
    right = torch.cat([is_real(logits[:4], "bce"), ~is_real(logits[4:], "bce")]).float().mean()
    torch.testing.assert_close(phase.memory["accuracies"], torch.cat([remembered[1:], right[None]]))


@pytest.mark.parametrize("ratio", [0.1, 2.0])
def test_adaptive_ratio_is_the_ratio_of_the_gradients_norms_at_the_last_layer(
    fabric: Fabric, batches: Iterator[Batch], ratio: float
) -> None:
    phase = joint(fabric, adv_weight=None, adaptive_ratio=ratio)
    G, D = phase.networks["generator"], phase.networks["discriminator"]
    reference = copy.deepcopy(G)
    images = phase.preprocess(next(batches))
    passes: list[int] = []  # back through D

    def count(module: nn.Module, given: object, logits: Tensor) -> None:
        logits.register_hook(lambda gradient: passes.append(1))

    counting = D.register_forward_hook(count)
    adv_weight = phase.step([images])["adv_weight"].item()
    counting.remove()
    assert len(passes) == 2  # for D's update, and for G's: none for α

    output = reference(images.filled, images.mask)
    D.train()  # as it was after its own update, when G learned from it
    judged = D(composite(output, images.image, images.mask), images.mask, images.window)
    section = params().train_joint.reconstruction
    reconstruction = reconstruction_loss(output, images.image, images.mask, section, 1.0)
    weight = last_layer(reference)
    (wanted,) = torch.autograd.grad(reconstruction, weight, retain_graph=True)
    (given,) = torch.autograd.grad(g_loss(judged), weight)
    assert adv_weight * given.norm().item() == pytest.approx(ratio * wanted.norm().item(), rel=1e-3)
    torch.testing.assert_close(last_layer(G).grad, wanted + adv_weight * given, rtol=1e-3, atol=1e-5)


BCE = GAN(loss="bce", real_label=1.0, r1_gamma=0.0)


@pytest.mark.parametrize(
    ("discriminator", "section"),
    [
        (lambda: global_local(16, 8, 3, 2, 0.0625, norm="none", spectral_norm=True), BCE),
        (lambda: global_local(16, 8, 3, 2, 0.0625, mask_channel=True), BCE),
        (lambda: global_local(16, 8, 3, 2, 0.0625, head="per_branch"), BCE),
        (lambda: patchgan(4), BCE.model_copy(update={"real_label": 0.9})),
        (lambda: patchgan(4, norm="none", spectral_norm=True, mask_channel=True), BCE),
        (lambda: global_local(16, 8, 3, 2, 0.0625), BCE.model_copy(update={"loss": "hinge"})),
        (lambda: global_local(16, 8, 3, 2, 0.0625), BCE.model_copy(update={"loss": "lsgan"})),
        (
            lambda: global_local(16, 8, 3, 2, 0.0625, norm="none", spectral_norm=True),
            BCE.model_copy(update={"r1_gamma": 10.0}),
        ),
        (lambda: patchgan(4, norm="instance"), BCE.model_copy(update={"r1_gamma": 10.0})),
    ],
    ids=["spectral", "mask", "per_branch", "patch", "patch_all", "hinge", "lsgan", "r1_spectral", "r1_patch"],
)
def test_every_discriminator_learns_alone_and_teaches_the_generator(
    fabric: Fabric,
    batches: Iterator[Batch],
    monkeypatch: pytest.MonkeyPatch,
    discriminator: Callable[[], nn.Module],
    section: GAN,
) -> None:
    """Its own update reaches all of it and nothing of G; G's reaches G and leaves the discriminator's gradients."""

    def made(adv_weight: float) -> TrainJointPhase:
        G, _ = networks()
        return joint(fabric, G, discriminator(), section, adv_weight=adv_weight)

    alone = made(1.0)
    G, D = alone.networks["generator"], alone.networks["discriminator"]
    images = alone.preprocess(next(batches))
    with torch.no_grad():
        completed = composite(G(images.filled, images.mask), images.image, images.mask)
    calls = record_calls(monkeypatch, type(D))
    (losses,) = backward_discriminator(alone, alone.D, [images], [completed], section)
    clean = gradients_of(D)
    assert clean.keys() == dict(D.named_parameters()).keys()
    assert all(norm({name: g}) > 0 for name, g in clean.items() if not name.endswith("bias"))
    assert gradients_of(G) == {}
    assert ("r1_penalty" in losses) == (section.r1_gamma > 0)
    # Told the mask, it could tell a window that does not belong to it.
    real_window = images.window if D.mask_channel else images.real_window
    assert torch.equal(calls[0][2], torch.cat([real_window, images.window]))
    assert torch.equal(calls[0][1], torch.cat([images.mask, images.mask]))

    taught = {}
    for adv_weight in (0.0, 1.0):
        phase = made(adv_weight)
        phase.step([images])
        torch.testing.assert_close(gradients_of(phase.networks["discriminator"]), clean, rtol=1e-3, atol=1e-6)
        taught[adv_weight] = gradients_of(phase.networks["generator"])
    assert taught[1.0].keys() == dict(G.named_parameters()).keys()
    assert norm({name: taught[1.0][name] - g for name, g in taught[0.0].items()}) > 1e-3 * norm(taught[0.0])


def test_r1_is_part_of_the_discriminators_gradient(fabric: Fabric, batches: Iterator[Batch]) -> None:
    """Its weight is that of the gradient: twice the weight, twice the difference."""
    images = joint(fabric).preprocess(next(batches))
    found = {}
    for r1_gamma in (0.0, 1.0, 2.0):
        D = global_local(16, 8, 3, 2, 0.0625, norm="none")
        phase = joint(fabric, networks()[0], D, BCE.model_copy(update={"r1_gamma": r1_gamma}))
        phase.step([images])
        found[r1_gamma] = gradients_of(phase.networks["discriminator"])
    once = {name: found[1.0][name] - g for name, g in found[0.0].items()}
    assert norm(once) > 1e-4
    twice = {name: g + 2 * once[name] for name, g in found[0.0].items()}
    torch.testing.assert_close(found[2.0], twice, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_r1_is_the_gradient_at_each_image_by_itself(fabric: Fabric, batches: Iterator[Batch], norm: Norm) -> None:
    """½ ‖∇D(x)‖² of one image at a time; through batch norm it would be something else, so parameters refuse that."""
    G, _ = networks()
    section = BCE.model_copy(update={"r1_gamma": 1.0})
    phase = joint(fabric, G, global_local(16, 8, 2, 1, 0.0625, norm=norm), section)
    images = phase.preprocess(next(batches))
    D = copy.deepcopy(phase.networks["discriminator"])
    (losses,) = backward_discriminator(phase, phase.D, [images], [complete(G, images)], section)
    alone = []
    for k in range(len(images.image)):
        x = images.image[k : k + 1].clone().requires_grad_()
        D.train(norm != "batch")  # as no image can be normalized alone
        (found,) = torch.autograd.grad(D(x, images.mask[k : k + 1], images.real_window[k : k + 1]).sum(), x)
        alone.append(found.square().sum() / 2)
    expected = torch.stack(alone).mean()
    assert (losses["r1_penalty"].item() == pytest.approx(expected.item(), rel=1e-4)) == (norm != "batch")


def test_adaptive_weight_and_r1_work_under_mixed_precision(batches: Iterator[Batch]) -> None:
    """Fabric takes a gradient that is asked for in passing for a forgotten `fabric.backward`, and raises."""
    mixed = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    D, section = global_local(16, 8, 3, 2, 0.0625, norm="none"), BCE.model_copy(update={"r1_gamma": 1.0})
    phase = joint(mixed, networks()[0], D, section, adv_weight=None, adaptive_ratio=0.1)
    losses = phase.step([phase.preprocess(next(batches))])
    assert 0 < losses["adv_weight"] < 1e4
    assert losses["r1_penalty"] > 0


def test_validation_judges_real_images_where_training_does(
    fabric: Fabric, cropped: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A discriminator that sees the mask is scored with windows that belong to it."""
    p = params()
    val = PackedImages(cropped.folder / "data" / "images", "val")
    fixed = validation_batches(val, seed=0, num_images=4, batch_size=4, masks=p.masks, local_window=8)
    for sees_mask in (False, True):
        G, _ = networks()
        D = global_local(16, 8, 3, 2, 0.0625, mask_channel=sees_mask)
        phase = TrainJointPhase(fabric, G, D, p.train_joint, p.gan, p.input, [0.5] * 3)
        images = phase.preprocess(fixed[0])
        assert not torch.equal(images.real_window, images.window)
        with monkeypatch.context() as patch:
            calls = record_calls(patch, GlobalLocalDiscriminator)
            phase.validate(fixed)
        on_both = next(call for call in calls if len(call[0]) == 8)
        assert torch.equal(on_both[0][:4], images.image)
        assert torch.equal(on_both[2], torch.cat([images.window if sees_mask else images.real_window, images.window]))


def test_processes_exchange_gradients_in_the_last_part_only(
    fabric: Fabric, batches: Iterator[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each exchange sends the whole gradient, so that one in every part would cost as many times the traffic."""
    phase = joint(fabric)
    names = {id(phase._wrapped[name]): name for name in phase.networks}
    found: list[tuple[str, bool]] = []
    real = fabric.no_backward_sync

    def no_backward_sync(module: Any, enabled: bool = True) -> AbstractContextManager[None]:
        found.append((names[id(module)], enabled))
        return real(module, enabled)

    monkeypatch.setattr(fabric, "no_backward_sync", no_backward_sync)
    phase.step([phase.preprocess(part) for part in next(batches).split(2)])
    # Of D's gradients in G's step there are none to exchange.
    own = [entry for entry in found if entry[0] == "generator"]
    assert own == [("generator", True), ("generator", False)]
    assert found[:2] == [("discriminator", True), ("discriminator", False)]


@pytest.mark.parametrize(
    "changes",
    [
        {"adv_weight": None, "adaptive_ratio": 0.1},
        {"d_skip_accuracy": 0.8},
        {"max_grad_norm": 1.0, "ema_decay": 0.9, "grad_accum_steps": 2},
        {"reconstruction": {"edge_weight": 1.0, "ssim_weight": 1.0, "region": "whole"}},
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", "adadelta"])
def test_no_step_waits_for_its_device(changes: dict[str, Any], optimizer: str) -> None:
    """Neither does the decision whether D skips its update; presets are tested with the presets."""
    p = params(train_joint=changes, input={"fill": "surroundings"})
    adadelta = {f"optimizer_{network}": Adadelta(name="adadelta", lr=1.0, rho=0.95) for network in "gd"}
    section = p.train_joint.model_copy(update=adadelta if optimizer == "adadelta" else {})
    phase = TrainJointPhase(without_values(), *networks(), section, p.gan, p.input, [0.5] * 3)
    image, mask = (torch.zeros(4, channels, 16, 16, dtype=torch.uint8) for channels in (3, 1))
    batch = Batch(image, mask, torch.zeros(4, 2, dtype=torch.int64), torch.zeros(4, 2, dtype=torch.int64))
    state = TrainState()
    for step in range(3):
        with NoCopiesThatWait() if step else nullcontext():  # the first one makes constants
            losses = take_step(phase, batch, section, state)
    assert {loss.device.type for loss in losses.values()} == {"meta"}


@pytest.mark.parametrize("ask", [bool, float, Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy])
def test_who_waits_for_a_device_without_values_fails(ask: Callable[[Tensor], object]) -> None:
    """What the tests above rely on."""
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        ask(torch.ones((), device=without_values().device))


def test_so_does_who_copies_to_it_and_waits() -> None:
    device, value = without_values().device, torch.ones(2)
    with NoCopiesThatWait():
        value.to(device, non_blocking=True)
        with pytest.raises(AssertionError, match="a copy waits"):
            value.to(device)
        with pytest.raises(AssertionError, match="a copy waits"):
            torch.empty(2, device=device).copy_(value)


@pytest.mark.parametrize("stage", ["pretrain_generator", "pretrain_discriminators", "train_joint"])
def test_mixed_precision_gives_the_losses_of_32_bits(batches: Iterator[Batch], stage: str) -> None:
    """Up to the 8 bits of bfloat16, and as float32 numbers; the gradients have about the same direction."""
    batch, found, moves = next(batches), [], []
    for precision in ("32-true", "bf16-mixed"):
        fabric, p, (G, D) = Fabric(accelerator="cpu", devices=1, precision=precision), params(), networks()
        phase: Phase
        if stage == "pretrain_generator":
            phase = generator_phase(fabric)
        elif stage == "train_joint":
            phase = joint(fabric)
        else:
            phase = PretrainDiscriminatorsPhase(fabric, G, D, p.pretrain_discriminators, p.gan, p.input, [0.5] * 3)
        found.append(phase.step([phase.preprocess(batch)]))
        moves.append({name: gradients_of(network) for name, network in phase.networks.items()})
    assert {loss.dtype for losses in found for loss in losses.values()} == {torch.float32}
    torch.testing.assert_close(found[1], found[0], rtol=0.02, atol=0)
    for name, gradients in moves[0].items():
        a, b = (torch.cat([move[name][k].flatten() for k in gradients]) for move in moves)
        assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.7, name
        assert 0.9 < a.norm() / b.norm() < 1.1, name


def test_the_average_is_that_of_pytorch() -> None:
    """Of weights, batch norm's statistics and their counts, to the bit; PyTorch's own waits for the device."""
    network, _ = networks()
    ours, theirs = (AveragedModel(network, use_buffers=True) for _ in "ab")
    for decay in (0.1, 0.5, 0.9):
        for tensor in network.state_dict().values():
            tensor.copy_(torch.rand_like(tensor) if tensor.is_floating_point() else tensor + 7)
        update_average(ours, network, decay)
        theirs.multi_avg_fn = get_ema_multi_avg_fn(decay)
        theirs.update_parameters(network)
        assert equal(ours.state_dict(), theirs.state_dict())
    assert ours.n_averaged == 3
