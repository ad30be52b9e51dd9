"""Checkpoints: one safetensors file that holds everything a run needs to go on, replaced atomically, without pickle.

Tensors: `network/<name>`, `best/<name>` (where the best epoch is not the last), `optimizer/<parameter>/<key>`,
and `extra/<name>` for the averaged weights and the state of a loss that has one.
The metadata holds two JSON texts: `configuration`, which must be equal for a run to go on, and `state`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from thorax.errors import InputError
from thorax.files import atomic_path
from thorax.models import Network

FILE = "checkpoint.safetensors"
_SUMS = ("loss", "gradient_norm", "images", "seconds")


@dataclass
class State:
    """Where a run stands.

    Attributes:
        epoch: the next one to train, from 0.
        step: of that epoch, from 0.
        finished: whether training has come to its end.
        best_score: the highest validation score so far, None before the first.
        best_loss: the validation loss of that epoch.
        best_epoch: from 0; −1 before the first.
        stale: epochs since then.
        schedule: factor, best and stale of the plateau schedule.
        curves: one record an epoch.
        seconds: of training so far.
        sums: of the unfinished epoch: loss and gradient norm times images, images, seconds in steps.
    """

    epoch: int = 0
    step: int = 0
    finished: bool = False
    best_score: float | None = None
    best_loss: float = 0.0
    best_epoch: int = -1
    stale: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0.0))

    def add(self, loss: float, gradient_norm: float, images: int, seconds: float) -> None:
        """Count a finished step."""
        for name, value in zip(_SUMS, (loss * images, gradient_norm * images, images, seconds), strict=True):
            self.sums[name] += value
        self.step += 1


def save(
    folder: Path,
    configuration: Mapping[str, Any],
    state: State,
    network: Network,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor] | None,
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint over the last one; a reader sees the one or the other, never a part.

    Args:
        folder: made where it does not exist.
        configuration: JSON-able; what the run depends on.
        state: where it stands.
        network: its weights and buffers are kept.
        optimizer: its state is kept.
        best: weights of the best epoch, where that is not what the network holds.
        extra: whatever else the run needs to go on.

    Raises:
        RoomError: the disk is full; the last checkpoint stays.
    """
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
    tensors |= {f"extra/{name}": tensor for name, tensor in (extra or {}).items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{name}/{key}"] = value
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"configuration": json.dumps(configuration), "state": json.dumps(vars(state))}
    with atomic_path(folder / FILE) as temporary:
        save_file(plain, temporary, metadata)


def load(
    folder: Path, configuration: Mapping[str, Any], network: Network, optimizer: torch.optim.Optimizer
) -> tuple[State, dict[str, Tensor] | None, dict[str, Tensor]] | None:
    """Take a run up where its last checkpoint left it.

    Args:
        folder: as given to `save`.
        configuration: of this run; must equal the checkpoint's.
        network: filled in place.
        optimizer: filled in place.

    Returns:
        The state, the best weights so far (None: what the network holds) and whatever else was kept; or None where
        there is no checkpoint.

    Raises:
        InputError: the checkpoint is of another configuration, whose first difference is named, or it is damaged.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        kept, state = json.loads(metadata["configuration"]), State(**json.loads(metadata["state"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"The checkpoint {file} cannot be read: {error}.", f"Remove {folder} to train from the start."
        ) from error
    difference = first_difference(kept, json.loads(json.dumps(configuration)))
    if difference:
        raise InputError(
            f"The checkpoint {file} is of another configuration: {difference}.",
            f"Set it back to go on, or remove {folder} to train from the start.",
        )
    network.load_state_dict(part(tensors, "network/"))
    _load_optimizer(optimizer, network, part(tensors, "optimizer/"))
    return state, part(tensors, "best/") or None, part(tensors, "extra/")


def first_difference(kept: Any, asked: Any, path: str = "") -> str:
    """Say in words where two JSON-able values differ first; "" where they are equal."""
    if isinstance(kept, dict) and isinstance(asked, dict):
        for key in sorted({*kept, *asked}):
            found = first_difference(kept.get(key), asked.get(key), f"{path}.{key}" if path else key)
            if found:
                return found
        return ""
    return "" if kept == asked else f"{path} was {_brief(kept)} and is {_brief(asked)}"


def _load_optimizer(optimizer: torch.optim.Optimizer, network: Network, tensors: dict[str, Tensor]) -> None:
    names = {parameter: name for name, parameter in network.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = part(tensors, f"{names[parameter]}/")
            if state:
                # The step count stays where fused optimisers keep it, beside its parameter.
                optimizer.state[parameter] = {
                    key: value.to(parameter.device)
                    if value.ndim == 0
                    else value.to(parameter.device).to(memory_format=_format(parameter))
                    for key, value in state.items()
                }


def _format(parameter: Tensor) -> torch.memory_format:
    """The memory layout of a parameter, which its optimiser state must share to be updated in the same order."""
    channels_last = parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
