"""What a launcher may ask of triton's driver where there is no GPU: its device is the CPU, its figures an A100's.

Triton's tutorials begin with `DEVICE = triton.runtime.driver.active.get_active_torch_device()` and choose a grid by the
number of multiprocessors. What it is not: a driver. Nothing can be loaded or launched with it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

# NVIDIA A100 (SXM, 40 GB): A100 whitepaper, table 4, and what its driver says of a block's shared memory and registers
A100 = {
    "max_shared_mem": 163 * 1024,
    "max_num_regs": 65536,
    "multiprocessor_count": 108,
    "warpSize": 32,
    "sm_clock_rate": 1_410_000,
    "mem_clock_rate": 1_215_000,
    "mem_bus_width": 5120,
}


class NoDriver:
    """Stands for triton's active driver."""

    utils = SimpleNamespace(get_device_properties=lambda device: dict(A100))

    def get_active_torch_device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def get_current_device(self) -> int:
        """0, the number of a device that isn't there."""
        return 0

    def get_current_target(self) -> GPUTarget:
        """An A100's."""
        return GPUTarget("cuda", 80, 32)

    def get_current_stream(self, device: int = 0) -> int:
        """0."""
        return 0

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"there is no GPU here, and triton's driver has no `{name}`: kernels run on CPU tensors")


def stand_in() -> None:
    """Let it be the active driver where no GPU is. Calling it again changes nothing."""
    if not torch.cuda.is_available() and not isinstance(_active(), NoDriver):
        driver.set_active(NoDriver())


def _active() -> Any:
    return vars(driver).get("_active")
