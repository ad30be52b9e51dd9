"""Where and in which precision a network is trained, and how the same seed gives the same weights."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from thorax import settings
from thorax.errors import InputError
from thorax.models import specification
from thorax.training import share


@dataclass(frozen=True)
class Runtime:
    """Device, precision and memory layout of a run.

    Attributes:
        device: of the weights and batches.
        autocast: the type that convolutions and products are computed in, or None for float32.
        memory_format: of the weights and batches.
    """

    device: torch.device
    autocast: torch.dtype | None
    memory_format: torch.memory_format

    def precision(self) -> torch.autocast:
        """Return the context in which the network runs forward."""
        return torch.autocast(
            self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None, cache_enabled=True
        )

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move a network here."""
        return module.to(self.device, memory_format=self.memory_format)


def choose_runtime(recipe: settings.Train, architecture: str) -> Runtime:
    """Pick the device and the precision that the settings ask for.

    "auto" takes a GPU where there is one, and bfloat16 where the device multiplies it in hardware and the
    architecture gains by it.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device is cuda, and PyTorch sees no GPU here.", "Set train.device to auto or cpu.")
    on_gpu = recipe.device != "cpu" and torch.cuda.is_available()
    if recipe.precision == "auto":
        fast = torch.cuda.is_bf16_supported() if on_gpu else _cpu_has_bfloat16(architecture)
        autocast = torch.bfloat16 if fast else None
    else:
        autocast = torch.bfloat16 if recipe.precision == "bfloat16" else None
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    # Of several processes on a machine each takes a GPU of its own.
    device = torch.device("cuda", share.local_rank()) if on_gpu else torch.device("cpu")
    return Runtime(device, autocast, layout)


@contextmanager
def steady(recipe: settings.Train) -> Iterator[None]:
    """Set the number of threads, and deterministic algorithms where they are asked for; set both back afterwards."""
    threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    if recipe.deterministic:
        # cuBLAS needs to be told before its first call; filling fresh memory only costs time here.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        torch.use_deterministic_algorithms(recipe.deterministic)
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled


def seed_step(seed: int, epoch: int, step: int) -> torch.Generator:
    """Seed everything that a training step draws from its place in the run, so that it can be repeated from there.

    Dropout and stochastic depth draw from PyTorch's own generator, in which processes that train together differ;
    augmentation from the one returned, in which they agree.
    """
    place = (seed * 1_000_003 + epoch) * 1_000_003 + step
    torch.manual_seed((place + share.rank() * 7_368_787) % (1 << 63))
    return torch.Generator().manual_seed((place + 1) % (1 << 63))


def _cpu_has_bfloat16(architecture: str) -> bool:
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(supported) and specification(architecture).bfloat16_on_cpu
