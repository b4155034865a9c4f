"""Losses against values worked out by hand or by independent libraries."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from glcic.masks.geometry import composite
from glcic.params import GANLoss, PixelLoss, Reconstruction
from glcic.training.losses import (
    adaptive_weight,
    d_loss_fake,
    d_loss_real,
    edge_loss,
    g_loss,
    pixel_loss,
    r1_penalty,
    reconstruction_loss,
    sobel_magnitude,
    ssim_loss,
)


def noise(*shape: int, seed: int = 0, span: float = 1.0) -> Tensor:
    """Uniform in [0, 1], or in [−1, 1] for a span of 2."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * span - (span - 1)


def two_regions() -> Tensor:
    """Of one pixel and of sixteen."""
    region = torch.zeros(2, 1, 8, 8)
    region[0, :, 0, 0] = 1
    region[1, :, 2:6, 2:6] = 1
    return region


@pytest.mark.parametrize(("kind", "expected"), [("l1", (0.5 + 0.25) / 2), ("mse", (0.25 + 0.0625) / 2)])
def test_pixel_loss_is_normalized_by_each_region(kind: PixelLoss, expected: float) -> None:
    """Errors of ½ in a region of one pixel and of ¼ in a region of sixteen weigh the same."""
    image = torch.zeros(2, 3, 8, 8)
    output = torch.ones(2, 3, 8, 8)  # what is outside the region must not count
    output[0, :, 0, 0] = 0.5
    output[1, :, 2:6, 2:6] = 0.25
    assert pixel_loss(output, image, two_regions(), kind).item() == pytest.approx(expected)


def test_pixel_loss_over_the_whole_image_is_the_mean() -> None:
    output, image = noise(2, 3, 8, 8), noise(2, 3, 8, 8, seed=1)
    loss = pixel_loss(output, image, torch.ones(2, 1, 8, 8), "mse")
    assert loss.item() == pytest.approx((output - image).square().mean().item())


def scipy_magnitude(image: Tensor) -> np.ndarray:
    planes = image.double().flatten(0, 1).numpy()  # one by one: scipy smooths along every other axis
    magnitudes = [np.hypot(*(ndimage.sobel(plane, axis, mode="nearest") for axis in (0, 1))) for plane in planes]
    return np.reshape(magnitudes, image.shape)


def test_edges_are_those_of_scipy() -> None:
    image = noise(2, 3, 9, 12)
    np.testing.assert_allclose(sobel_magnitude(image).numpy(), scipy_magnitude(image), atol=1e-5)


def test_edge_loss_is_normalized_by_each_region() -> None:
    completed, image, region = noise(2, 3, 8, 8), noise(2, 3, 8, 8, seed=1), two_regions()
    difference = abs(scipy_magnitude(completed) - scipy_magnitude(image))
    expected = (difference[0, :, 0, 0].mean() + difference[1, :, 2:6, 2:6].mean()) / 2
    assert edge_loss(completed, image, region).item() == pytest.approx(expected, rel=1e-5)


def test_edge_loss_of_a_step() -> None:
    """A step of height ½ has a Sobel magnitude of 4 · ½ in the two columns at it, a flat image none."""
    image = torch.zeros(1, 3, 8, 8)
    completed = image.clone()
    completed[..., 4:] = 0.5
    assert edge_loss(completed, image, torch.ones(1, 1, 8, 8)).item() == pytest.approx(2 * 2 / 8, abs=1e-5)


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_ssim_is_that_of_skimage(span: float) -> None:
    image = noise(3, 3, 24, 17, span=span)
    completed = 0.7 * image + 0.3 * noise(3, 3, 24, 17, seed=1, span=span)
    expected = np.mean(
        [
            structural_similarity(
                a.double().numpy(),
                b.double().numpy(),
                channel_axis=0,
                data_range=span,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(completed, image, strict=True)
        ]
    )
    assert 0.1 < expected < 0.95
    assert ssim_loss(completed, image, span).item() == pytest.approx(1 - expected, abs=1e-4)


@pytest.mark.parametrize(("height", "width", "fits"), [(8, 20, 7), (5, 5, 5), (1, 1, 1)])
def test_ssim_window_fits_small_images(height: int, width: int, fits: int) -> None:
    """Where a single window fits, SSIM is the formula on Gaussian-weighted moments."""
    x, y = noise(1, 1, height, width).double(), noise(1, 1, height, width, seed=1).double()
    side = fits // 2
    weights = np.exp(-(np.arange(-side, side + 1) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    expected = []
    for top in range(height - fits + 1):
        for left in range(width - fits + 1):
            a, b = (z[0, 0, top : top + fits, left : left + fits].numpy() for z in (x, y))
            μa, μb = (weights * a).sum(), (weights * b).sum()
            σaa, σbb = (weights * (a - μa) ** 2).sum(), (weights * (b - μb) ** 2).sum()
            σab = (weights * (a - μa) * (b - μb)).sum()
            c1, c2 = 0.01**2, 0.03**2
            expected.append((2 * μa * μb + c1) * (2 * σab + c2) / ((μa**2 + μb**2 + c1) * (σaa + σbb + c2)))
    assert ssim_loss(x, y, 1.0).item() == pytest.approx(1 - np.mean(expected))


@pytest.mark.parametrize("flat", [True, False])
def test_identical_images_have_no_error_and_finite_gradients(flat: bool) -> None:
    image = torch.full((2, 3, 16, 16), 0.5) if flat else noise(2, 3, 16, 16)
    output = image.clone().requires_grad_()
    region = torch.ones(2, 1, 16, 16)
    section = Reconstruction(pixel_loss="l1", region="whole", pixel_weight=1.0, edge_weight=1.0, ssim_weight=1.0)
    loss = reconstruction_loss(output, image, region, section, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert output.grad is not None
    assert output.grad.isfinite().all()


@pytest.mark.parametrize(
    ("pixel_weight", "edge_weight", "ssim_weight"), [(1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 3.0), (4.0, 5.0, 6.0)]
)
def test_reconstruction_is_the_weighted_sum(pixel_weight: float, edge_weight: float, ssim_weight: float) -> None:
    output, image = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=1)
    region = torch.zeros(2, 1, 16, 16)
    region[..., 4:12, 4:12] = 1
    completed = composite(output, image, region)
    section = Reconstruction(
        pixel_loss="l1", region="dilated", pixel_weight=pixel_weight, edge_weight=edge_weight, ssim_weight=ssim_weight
    )
    expected = (
        pixel_weight * pixel_loss(output, image, region, "l1")
        + edge_weight * edge_loss(completed, image, region)
        + ssim_weight * ssim_loss(completed, image, 1.0)
    )
    torch.testing.assert_close(reconstruction_loss(output, image, region, section, 1.0), expected)


def test_what_is_off_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("edge_loss", "ssim_loss"):
        monkeypatch.setattr(f"glcic.training.losses.{name}", None)
    section = Reconstruction(pixel_loss="mse", region="hole", pixel_weight=2.0, edge_weight=0.0, ssim_weight=0.0)
    image, region = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    assert reconstruction_loss(image + 0.5, image, region, section, 1.0).item() == pytest.approx(0.5)


LOGITS = torch.tensor([[0.0], [math.log(3)]])  # probabilities of being real: ½ and ¾
SCORES = torch.tensor([[-2.0, 0.5], [3.0, 0.0]])  # two labels for each of two images


def test_cross_entropies() -> None:
    assert d_loss_real(LOGITS).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert d_loss_fake(LOGITS).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert g_loss(LOGITS).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_label_smoothing_is_one_sided() -> None:
    expected = (math.log(2) + 0.9 * math.log(4 / 3) + 0.1 * math.log(4)) / 2
    assert d_loss_real(LOGITS, label=0.9).item() == pytest.approx(expected)
    best = torch.tensor([[math.log(9)]], requires_grad=True)  # σ(D) = 0.9
    d_loss_real(best, label=0.9).backward()
    assert best.grad is not None
    assert best.grad.item() == pytest.approx(0, abs=1e-6)


def test_hinge() -> None:
    assert d_loss_real(SCORES, "hinge").item() == pytest.approx((3 + 0.5 + 0 + 1) / 4)
    assert d_loss_fake(SCORES, "hinge").item() == pytest.approx((0 + 1.5 + 4 + 1) / 4)
    assert g_loss(SCORES, "hinge").item() == pytest.approx((2 - 0.5 - 3 - 0) / 4)


def test_lsgan() -> None:
    assert d_loss_real(SCORES, "lsgan").item() == pytest.approx((9 + 0.25 + 4 + 1) / 4)
    assert d_loss_real(SCORES, "lsgan", 0.5).item() == pytest.approx((6.25 + 0 + 6.25 + 0.25) / 4)
    assert d_loss_fake(SCORES, "lsgan").item() == pytest.approx((4 + 0.25 + 9 + 0) / 4)
    assert g_loss(SCORES, "lsgan").item() == pytest.approx((9 + 0.25 + 4 + 1) / 4)


@pytest.mark.parametrize("kind", ["bce", "hinge", "lsgan"])
def test_generator_still_learns_when_the_discriminator_has_won(kind: GANLoss) -> None:
    logit = torch.tensor([[-20.0]], requires_grad=True)
    g_loss(logit, kind).backward()
    assert logit.grad is not None
    assert logit.grad.item() <= -1 + 1e-6


def test_r1_of_a_linear_discriminator() -> None:
    """D(x) = (w·x, v·x) has the gradient w + v everywhere."""
    w, v = noise(3, 4, 4).requires_grad_(), noise(3, 4, 4, seed=1)
    image = noise(5, 3, 4, 4, seed=2).requires_grad_()
    logits = torch.stack([(image * w).sum(dim=(1, 2, 3)), (image * v).sum(dim=(1, 2, 3))], dim=1)
    penalty = r1_penalty(*torch.autograd.grad(logits.sum(), image, create_graph=True))
    assert penalty.item() == pytest.approx((w + v).square().sum().item() / 2)
    penalty.backward()
    torch.testing.assert_close(w.grad, (w + v).detach())


def test_r1_is_the_mean_over_images() -> None:
    """D(x) = ‖x‖²/2 has the gradient x."""
    image = noise(5, 3, 4, 4).requires_grad_()
    logits = image.square().sum(dim=(1, 2, 3)).unsqueeze(1) / 2
    penalty = r1_penalty(*torch.autograd.grad(logits.sum(), image))
    assert penalty.item() == pytest.approx(image.square().sum().item() / 5 / 2)


def gradient_of(loss: Tensor, weight: Tensor) -> Tensor:
    return torch.autograd.grad(loss, weight, retain_graph=True)[0]


def test_adaptive_weight_gives_the_ratio() -> None:
    layer = nn.Conv2d(4, 3, 3)
    output = layer(noise(2, 4, 8, 8))
    reconstruction, adversarial = output.square().mean(), 0.01 * output.sin().mean()
    wanted, given = gradient_of(reconstruction, layer.weight), gradient_of(adversarial, layer.weight)
    α = adaptive_weight(wanted, given, 0.25)
    assert gradient_of(α * adversarial, layer.weight).norm() / wanted.norm() == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize(("reconstruction", "expected"), [(1.0, 100.0), (0.0, 0.0)])
def test_adaptive_weight_is_finite_without_an_adversarial_gradient(reconstruction: float, expected: float) -> None:
    α = adaptive_weight(torch.full((3,), reconstruction), torch.zeros(3), 0.5, limit=100.0)
    assert α.item() == expected
