"""Reconstruction and adversarial losses."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, pad, relu

from glcic.masks.geometry import composite
from glcic.params import GANLoss, PixelLoss, Reconstruction

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # of SSIM, as in Wang et al., 2004
MAGNITUDE_EPSILON = 1e-12  # the gradient of the root is infinite at 0, in flat areas; √ε is far below any edge


def reconstruction_loss(output: Tensor, image: Tensor, region: Tensor, section: Reconstruction, span: float) -> Tensor:
    """Weighted sum of pixel, edge and SSIM losses; a loss of weight 0 is not computed.

    Edges and SSIM depend on surrounding pixels, so they compare the image with the composite.

    Args:
        output, image: (N, 3, H, W), in the networks' range.
        region: (N, 1, H, W), 1 where the output counts: the hole, the dilated hole or the whole image.
        section: the weights, and the kind of pixel loss.
        span: width of the networks' range: 1 for [0, 1], 2 for [−1, 1].

    Returns:
        A scalar.
    """
    completed = composite(output, image, region)
    loss = output.new_zeros(())
    if section.pixel_weight:
        loss = loss + section.pixel_weight * pixel_loss(output, image, region, section.pixel_loss)
    if section.edge_weight:
        loss = loss + section.edge_weight * edge_loss(completed, image, region)
    if section.ssim_weight:
        loss = loss + section.ssim_weight * ssim_loss(completed, image, span)
    return loss


def pixel_loss(output: Tensor, image: Tensor, region: Tensor, kind: PixelLoss) -> Tensor:
    """Mean error over the pixels of the region.

    Args:
        output, image: (N, 3, H, W).
        region: (N, 1, H, W), 1 where the output counts.
        kind: `mse` (the paper) or `l1`.

    Returns:
        A scalar: mean squared (or absolute) error per channel and pixel of the region.
    """
    difference = output - image
    return _mean_over(region, difference.square() if kind == "mse" else difference.abs())


def edge_loss(completed: Tensor, image: Tensor, region: Tensor) -> Tensor:
    """Mean absolute difference of the Sobel magnitudes over the pixels of the region.

    Args:
        completed: (N, C, H, W), the output inside the region and the image outside, so that the rim of the region
            has the edges that people see.
        image: (N, C, H, W).
        region: (N, 1, H, W), 1 where edges count.

    Returns:
        A scalar.
    """
    return _mean_over(region, (sobel_magnitude(completed) - sobel_magnitude(image)).abs())


def sobel_magnitude(image: Tensor) -> Tensor:
    """Sobel magnitude √(gx² + gy² + ε) of every channel of images (N, C, H, W), with replicated borders; same shape.

    The kernels are not scaled: a step of height 1 has magnitude 4, and the maximum is √20 times the values' span.
    ε keeps the gradient finite in flat areas.
    """
    channels = image.shape[1]
    kernels = _sobel_kernels(channels, image.device, image.dtype)
    gradient = conv2d(pad(image, (1, 1, 1, 1), "replicate"), kernels, groups=channels)
    return (gradient.unflatten(1, (channels, 2)).square().sum(dim=2) + MAGNITUDE_EPSILON).sqrt()


@cache  # made once: a step copies nothing to the device
@torch.inference_mode(False)  # whoever asks first
def _sobel_kernels(channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Kernels (2 · channels, 1, 3, 3), horizontal and vertical by turns."""
    x = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=device, dtype=dtype)
    return torch.stack([x, x.T]).unsqueeze(1).repeat(channels, 1, 1, 1)


def ssim_loss(completed: Tensor, image: Tensor, span: float) -> Tensor:
    """Loss 1 − SSIM (Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment, 2004) with the authors' settings.

    The Gaussian window is 11×11 with σ = 1.5. It is applied to every channel, wherever it lies entirely inside the
    image. In images of fewer than 11 pixels, it is the largest odd window that fits.

    Args:
        completed, image: (N, C, H, W), in the networks' range.
        span: width of the networks' range: 1 for [0, 1], 2 for [−1, 1].

    Returns:
        A scalar in [0, 2]: mean over images and channels.
    """
    x, y = completed, image
    smallest = min(image.shape[2:])
    rows, columns = (_gaussian_means(side, smallest, image.device, image.dtype) for side in image.shape[2:])
    μx, μy, xx, yy, xy = rows @ torch.stack([x, y, x * x, y * y, x * y]) @ columns.T
    σxx, σyy, σxy = xx - μx * μx, yy - μy * μy, xy - μx * μy
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    ssim = (2 * μx * μy + c1) * (2 * σxy + c2) / ((μx * μx + μy * μy + c1) * (σxx + σyy + c2))
    return 1 - ssim.mean()


@cache
@torch.inference_mode(False)
def _gaussian_means(side: int, smallest: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (side − window + 1, side) that maps a column of pixels to its Gaussian means.

    On a CPU, it is ten times as fast as the same convolution.
    """
    window = min(WINDOW, smallest - 1 + smallest % 2)
    offset = torch.arange(side) - torch.arange(side - window + 1)[:, None]
    gaussian = torch.exp(-(offset - window // 2).square() / (2 * SIGMA**2)) * ((offset >= 0) & (offset < window))
    return (gaussian / gaussian.sum(dim=1, keepdim=True)).to(device, dtype)


def _mean_over(region: Tensor, error: Tensor) -> Tensor:
    """Mean over the channels and pixels of each image's own region, then over images.

    In a mean over all pixels, the weight of an image would grow with its hole.
    """
    area = error.shape[1] * region.sum(dim=(1, 2, 3))
    return ((error * region).sum(dim=(1, 2, 3)) / area).mean()


def d_loss_real(logits: Tensor, kind: GANLoss = "bce", label: float = 1.0) -> Tensor:
    """Discriminator's loss on real images, mean over all logits.

    `bce`: −y log σ(D) − (1 − y) log(1 − σ(D)); `hinge`: max(0, 1 − D); `lsgan`: (D − y)².

    Args:
        logits: D, (N, K), K logits for each image.
        kind: the form of the loss.
        label: y, below 1 for one-sided label smoothing (Salimans et al., 2016); not used by the hinge loss.

    Returns:
        A scalar.
    """
    if kind == "bce":
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
    if kind == "hinge":
        return relu(1 - logits).mean()
    return (logits - label).square().mean()


def d_loss_fake(logits: Tensor, kind: GANLoss = "bce") -> Tensor:
    """Discriminator's loss on completed images, mean over all logits.

    `bce`: −log(1 − σ(D)); `hinge`: max(0, 1 + D); `lsgan`: D².

    Args:
        logits: D, (N, K), K logits for each image.
        kind: the form of the loss.

    Returns:
        A scalar.
    """
    if kind == "bce":
        return binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
    if kind == "hinge":
        return relu(1 + logits).mean()
    return logits.square().mean()


def g_loss(logits: Tensor, kind: GANLoss = "bce") -> Tensor:
    """Generator's adversarial loss on its completed images, mean over all logits.

    `bce`: −log σ(D), the form whose gradient does not vanish when D wins; `hinge`: −D; `lsgan`: (D − 1)².

    Args:
        logits: D, (N, K), K logits for each image.
        kind: the form of the loss.

    Returns:
        A scalar.
    """
    if kind == "bce":
        return binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    if kind == "hinge":
        return -logits.mean()
    return (logits - 1).square().mean()


def r1_penalty(gradient: Tensor) -> Tensor:
    """R1 penalty ½ E‖∇ₓ Σ D(x)‖² on real images.

    Mescheder, Geiger, Nowozin: Which Training Methods for GANs do actually Converge?, 2018.

    Args:
        gradient: ∇ₓ Σ D(x), (N, C, H, W), of the sum over the logits of all images, itself in a graph.

    Returns:
        A scalar, the mean over images.
    """
    return gradient.square().flatten(1).sum(dim=1).mean() / 2


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, ratio: float, limit: float = 1e4) -> Tensor:
    """Weight α with ‖α ∇adversarial‖ = ratio · ‖∇reconstruction‖ (Esser, Rombach, Ommer: Taming Transformers, 2021).

    Args:
        reconstruction, adversarial: gradients of the losses with respect to the generator's last layer, of one shape.
        ratio: the ratio of the norms.
        limit: largest α, which would be infinite for an adversarial gradient of 0.

    Returns:
        A scalar in [0, limit].
    """
    smallest = torch.finfo(adversarial.dtype).tiny  # 0/0, when nothing is left to learn, then gives 0
    return (ratio * reconstruction.norm() / adversarial.norm().clamp_min(smallest)).clamp_max(limit)
