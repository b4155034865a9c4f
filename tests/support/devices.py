"""A device that nothing can wait for."""

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class WithoutValues(CPUAccelerator):
    """An accelerator that takes the device it is given."""

    def setup_device(self, device: torch.device) -> None:
        pass


def without_values() -> Fabric:
    """Fabric on the device `meta`, whose tensors have shapes, but no values.

    Asking for a value, as `.item()`, `bool()` and copies to the host do, is an error. On a GPU, the caller would wait
    for all its work.
    """
    return Fabric(strategy=SingleDeviceStrategy(device=torch.device("meta"), accelerator=WithoutValues()))


class NoCopiesThatWait(TorchDispatchMode):
    """Makes copies from the host to the device an error, unless they are asynchronous."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu":
            assert torch.device(kwargs.get("device") or "cpu").type == "cpu" or kwargs.get("non_blocking"), (
                "a copy waits"
            )
        if func is torch.ops.aten.copy_.default and isinstance(args[1], Tensor):
            assert args[0].device == args[1].device, "a copy waits"
        return func(*args, **kwargs)
