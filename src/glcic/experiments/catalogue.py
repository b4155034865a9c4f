"""The presets as a table: what each is, and what its networks cost."""

from pathlib import Path

import torch

from glcic.experiments.presets import first_line, preset_names, preset_params
from glcic.networks.cost import count_macs, count_parameters
from glcic.networks.discriminators import discriminator
from glcic.networks.generators import completion_network
from glcic.params import Params

HEADER = ("preset", "S", "completion network", "discriminator", "what it is")


def costs(params: Params) -> tuple[str, str]:
    """Parameters, and billions of multiply-accumulates for one image, of the two networks."""
    size = params.crop.size
    with torch.device("meta"):  # counted, not allocated
        image, mask, corner = torch.empty(1, 3, size, size), torch.empty(1, 1, size, size), torch.zeros(1, 2).long()
        C = completion_network(params.networks.completion, params.input)
        D = discriminator(params.networks.discriminator, size)
        of_completion = (count_parameters(C), count_macs(C, image, mask))
        of_discriminator = (count_parameters(D), count_macs(D, image, mask, corner))
    return _cost(*of_completion), _cost(*of_discriminator)


def preset_table(folder: Path) -> str:
    """One line for each preset of a folder."""
    rows = [HEADER]
    for name in preset_names(folder):
        params = preset_params(name, folder)
        rows.append((name, str(params.crop.size), *costs(params), first_line(name, folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER) - 1)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)


def _cost(parameters: int, macs: int) -> str:
    return f"{parameters:,} / {macs / 1e9:.2f} GMAC"
