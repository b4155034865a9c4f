"""The methods that `evaluate` scores."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from glcic.evaluation.scorer import Method, Methods
from glcic.inference.blending import blend
from glcic.inference.classical import biharmonic, inpaint, mean_fill


def all_methods(networks: Mapping[str, Method], mean_pixel: Sequence[float], device: torch.device) -> Methods:
    """All methods of the tables but `nearest`: the trained networks and the classical baselines.

    Args:
        networks: the trained networks, by name.
        mean_pixel: (3,), mean of the training split, in [0, 1].
        device: where the networks are.
    """
    on_cpu = device.type == "cpu"  # in all processes; a GPU is used by one
    return Methods(
        {
            **(networks if on_cpu else {}),
            "mean_fill": partial(mean_fill, mean_pixel=mean_pixel),
            "telea": partial(inpaint, method="telea"),
            "navier_stokes": partial(inpaint, method="navier_stokes"),
            "biharmonic": biharmonic,
        },
        refinements={"blended": ("completion", blend)},
        of_blocks={} if on_cpu else networks,
    )
