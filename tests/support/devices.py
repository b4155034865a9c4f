"""A device that nothing can wait for."""

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy


class WithoutValues(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        pass


def without_values() -> Fabric:
    """Fabric on the device `meta`, whose tensors have shapes, but no values.

    Whoever asks for a value, as `.item()`, `bool()` and copies to the host do, gets an error. On a GPU, he would wait
    until it has done all its work.
    """
    return Fabric(strategy=SingleDeviceStrategy(device=torch.device("meta"), accelerator=WithoutValues()))
