"""Which part of a network learns."""

from torch import nn

from thorax.errors import InputError, nearest
from thorax.models.network import Network


def unfreeze(network: Network, choice: str) -> list[str]:
    """Choose what learns; everything else keeps its weights.

    Args:
        network: changed in place.
        choice: "all", "head", or the name of a block: it, all after it and the head learn. A block is named by
            its path or the end of it: `layer4`, `denseblock4.denselayer2`, `features.7`.

    Returns:
        Names of the parameters that learn, in order.

    Raises:
        InputError: there is no such block; the nearest is named.
    """
    names = [name for name, _ in network.named_parameters()]
    if choice == "all":
        first = 0
    elif choice == "head":
        first = names.index("head.weight")
    else:
        path = _find(network, choice)
        first = next(index for index, name in enumerate(names) if name.startswith(f"backbone.{path}."))
    for index, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(index >= first)
    return names[first:]


def unfreeze_gradually(network: Network, choice: str, epoch: int, epochs: int) -> list[str]:
    """Choose what learns in an epoch of gradual unfreezing (Howard and Ruder 2018): from the head down, evenly.

    The head alone learns at first; from epoch `epochs` on, all that `choice` names. In between the same number of
    blocks is added each epoch, the last ones first.

    Args:
        network: changed in place.
        choice: as `unfreeze` takes it.
        epoch: from 0.
        epochs: over which it goes on; 0 sets free at once what `choice` names.

    Returns:
        Names of the parameters that learn, in order.

    Raises:
        InputError: there is no such block; the nearest is named.
    """
    names = unfreeze(network, choice)
    if epoch >= epochs:
        return names
    blocks = list(dict.fromkeys(block for name in names if (block := _block(name))))
    kept = set(blocks[len(blocks) - epoch * len(blocks) // epochs :])
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and (not _block(name) or _block(name) in kept))
    return [name for name, parameter in network.named_parameters() if parameter.requires_grad]


def _block(name: str) -> str:
    """Return the block that a parameter belongs to: "" for a head, else one level below `backbone` or `features`."""
    parts = name.split(".")
    if parts[0] != "backbone":
        return ""
    # torchvision keeps some networks' blocks below `features`, and a network of timm lies below `0.net`.
    return ".".join(parts[: {"features": 3, "0": 4}.get(parts[1], 2)])


def train_mode(network: Network) -> None:
    """Put a network into training mode, but the normalisations of frozen layers keep their statistics."""
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and own and not any(p.requires_grad for p in own):
            module.eval()


def _find(network: Network, choice: str) -> str:
    """Return the path, in the backbone, of the first block that `choice` names."""
    paths = [
        path for path, module in network.backbone.named_modules() if path and any(True for _ in module.parameters())
    ]
    for path in paths:
        if path == choice or path.endswith(f".{choice}"):
            return path
    blocks = [path for path in paths if path.count(".") <= 2 and not path.split(".")[-1].startswith(("conv", "norm"))]
    ends = {path.split(".", 1)[-1] if path.startswith("features.") else path for path in blocks}
    raise InputError(f"train.unfreeze: there is no block {choice!r}.", nearest(choice, {"all", "head", *ends}))
