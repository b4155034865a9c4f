"""What the two stages that train a discriminator share; apart, so that pretrain_generator does not depend on it."""

from pathlib import Path

from torch import nn

from glcic.networks import discriminators as build_discriminator
from glcic.params import Context, Params
from pipeline import _training


def discriminator(params: Params, weights: Path | None = None) -> nn.Module:
    """A discriminator, new or with the weights of an earlier stage."""
    network = build_discriminator.discriminator(params.networks.discriminator, params.crop.size)
    return _training.with_weights(network, weights)


def local_window(params: Params) -> int:
    """Side of the local windows in pixels; the image's for a discriminator without."""
    section = params.networks.discriminator
    return section.local_window if isinstance(section, Context) else params.crop.size
