"""The weights that a training starts from: those of another training, of another size or on other data."""

from pathlib import Path
from typing import TypeVar

from torch import nn

from glcic.errors import UserError
from glcic.files import sha256_of
from glcic.networks.weights import load_weights
from glcic.params import GlcicParams, Input, UNetParams, WeightsFile, differences, some
from glcic.paths import given

Network = TypeVar("Network", bound="nn.Module")
FIELD = "pretrain_generator.init"


def initialized(
    generator: Network, init: WeightsFile | None, section: GlcicParams | UNetParams, input_params: Input
) -> Network:
    """Load the weights that a training starts from into a generator, and return it.

    The generator is fully convolutional, so the weights may come from images of another size. Fill and mask dilation
    may differ, too: the network learns them anew.

    Args:
        generator: the generator, with random weights.
        init: the weights file; None keeps the random weights.
        section: the parameters of the generator.
        input_params: how an image with a hole is presented to it.

    Raises:
        UserError: the file is missing, damaged or another one than `init` says, or its generator is another one.
    """
    if init is None:
        return generator
    path = checked(init)
    state, about = load_weights(path)
    ours = {"generator": section.model_dump(mode="json"), "pixel_range": input_params.pixel_range}
    theirs = {"generator": about.get("generator", {}), "pixel_range": about.get("input", {}).get("pixel_range")}
    if found := differences(theirs, ours):
        raise UserError(
            f"{FIELD}: {path} has weights of another generator (file → parameters): {some(found)}; take over what the "
            "file has, or name another file"
        )
    try:
        generator.load_state_dict(state)
    except RuntimeError:  # names or shapes; torch lists them all
        raise UserError(f"{FIELD}: {path} does not have the weights of a generator; name another file") from None
    return generator


def checked(init: WeightsFile) -> Path:
    """Path of a weights file, after a check of its SHA-256.

    Raises:
        UserError: there is no such file, or its SHA-256 is another one.
    """
    path = given(init.path)
    if not path.is_file():
        raise UserError(
            f"{FIELD}.path: {path}: no such file; put it back (a training that was stopped needs it, too, to go on), "
            "or name another weights file"
        )
    if (found := sha256_of(path)) != init.sha256:
        raise UserError(f"{path}: not the file of {FIELD}.sha256; if it is meant, set that to {found}")
    return path
