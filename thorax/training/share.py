"""Several processes that train one network, each on its part of every batch: what they add up, and what they gather.

With one process every function here gives back what it was given.
"""

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

from thorax.models import Network


def active() -> bool:
    """Whether this process trains together with others."""
    return started() and distributed.get_world_size() > 1


def started() -> bool:
    """Whether torchrun started this process, be it the only one."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """This process's number, from 0; the first one writes what is kept."""
    return distributed.get_rank() if active() else 0


def world() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if active() else 1


def local_rank() -> int:
    """This process's number on its machine, by which it takes a GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if active() else 0


def part(rows: np.ndarray) -> np.ndarray:
    """Return the rows that are this process's: every `world`-th, so that none is lost and none counted twice."""
    return rows[rank() :: world()]


def total(values: Tensor) -> Tensor:
    """Return the sum over the processes, without a gradient."""
    if not active():
        return values.detach()
    summed = values.detach().clone()
    distributed.all_reduce(summed)
    return summed


def anywhere(flag: bool) -> bool:
    """Whether the flag is up in any process."""
    return flag if not active() else bool(total(torch.tensor(float(flag), device=_device())).item())


def together(rows: np.ndarray, count: int) -> np.ndarray:
    """Put the answers to every process's `part` of `count` rows into their order, in every process.

    Args:
        rows: (n, ...), the answers to this process's part.
        count: of all rows.
    """
    if not active():
        return rows
    gathered: list[Any] = [None] * world()
    distributed.all_gather_object(gathered, rows)
    whole = np.empty((count, *rows.shape[1:]), dtype=rows.dtype)
    for number, piece in enumerate(gathered):
        whole[number :: world()] = piece
    return whole


def share_out(network: Network) -> nn.Module:
    """Return the network as it is trained: alone as it is, or so that its gradients are those of the whole batch.

    Its normalisations then take mean and variance over the whole batch, too.
    """
    if not active():
        return network
    on_gpu = network.mean.is_cuda
    if on_gpu:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    else:
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SharedBatchNorm
    # Buffers need no broadcast: every process computes the same.
    devices = [local_rank()] if on_gpu else None
    return nn.parallel.DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes, on the CPU, where PyTorch has none."""

    def forward(self, image: Tensor) -> Tensor:
        """Normalise (N, C, h, w); in evaluation, or where it is frozen, by the statistics that are kept."""
        if not self.training or not active():
            return super().forward(image)
        wide = image.float()
        sums = torch.cat([wide.sum(dim=(0, 2, 3)), wide.new_tensor([wide.numel() / wide.shape[1]])])
        sums = all_reduce(sums)
        count = sums[-1].detach()
        centred = wide - (mean := sums[:-1] / count)[None, :, None, None]
        variance = all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            share = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * count / (count - 1), share)
            self.num_batches_tracked += 1
        scaled = centred * ((variance + self.eps).rsqrt() * self.weight)[None, :, None, None]
        return (scaled + self.bias[None, :, None, None]).to(image.dtype)


def _device() -> torch.device:
    return torch.device("cuda", local_rank()) if distributed.get_backend() == "nccl" else torch.device("cpu")
