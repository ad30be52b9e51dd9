"""Starting weights: torchvision's ImageNet weights, weights made by the project, or a file. Never a pickle of ours."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from thorax.errors import InputError
from thorax.files import digest_file, digest_json
from thorax.models import packaged
from thorax.models.network import Network

#: Mean and standard deviation of ImageNet's grey levels, of a scale of 0 to 1.
_IMAGENET_GREY = (0.449, 0.226)
#: Heads and counters of published weights that a network here has no use for.
_FOREIGN_HEADS = ("fc.", "classifier.", "AuxLogits.")


def load_pretrained(
    network: Network, architecture: str, source: str, names: Sequence[str] | None, folder: Path
) -> None:
    """Fill a network with starting weights, and note in `network.notes` what was not taken over.

    Args:
        network: of the same architecture.
        architecture: its name.
        source: "imagenet", "phantom" (or "phantom:" and a digest), a safetensors file, or a folder that holds
            `weights.safetensors`.
        names: the network's findings, by which rows of a published head are matched; None drops the head.
        folder: holds `<architecture>.safetensors` for "phantom".

    Raises:
        InputError: the weights cannot be had or read, or are of another shape or architecture.
    """
    if source == "imagenet":
        network.normalise_by(*(packaged.GREY if architecture in packaged.PACKAGES else _IMAGENET_GREY))
        _fill(network, _imagenet(architecture), {}, names, _published(architecture))
        return
    path = phantom_weights(folder, architecture) if from_phantoms(source) else Path(source)
    if path.is_dir():
        path = path / "weights.safetensors"
    tensors, metadata = read_weights(path)
    trained = metadata.get("architecture", architecture)
    if trained != architecture:
        raise InputError(f"{path} holds weights of {trained}, and the network is {architecture}.")
    _fill(network, tensors, metadata, names, str(path))


def from_phantoms(source: str) -> bool:
    """Whether starting weights are to be those that `thorax pretrain` made; a digest may follow the word."""
    return source.partition(":")[0] == "phantom"


def phantom_weights(folder: Path, architecture: str) -> Path:
    """Return where the weights that an architecture learned on phantoms are kept; it need not be there."""
    return folder / f"{architecture.replace(':', '-')}.safetensors"


def digest_of_phantom_weights(folder: Path, architectures: Sequence[str]) -> str:
    """Return a short digest of the weights that some architectures learned on phantoms.

    Raises:
        InputError: an architecture has none.
    """
    digests = []
    for architecture in architectures:
        path = phantom_weights(folder, architecture)
        if not path.exists():
            raise InputError(
                f"There are no phantom weights of {architecture}: {path} does not exist.",
                f"Make them: thorax pretrain --architecture {architecture}. Or set train.pretrained to none.",
            )
        digests.append(digest_file(path))
    return digest_json(digests)[:16]


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its metadata.

    Raises:
        InputError: it does not exist or is not a whole safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(
            f"The weights file {path} does not exist.",
            "Make it with thorax pretrain, or set train.pretrained to none, imagenet, or a safetensors file.",
        ) from error
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file, or is cut short: {error}.", "Make or fetch it again."
        ) from error


def _published(architecture: str) -> str:
    """Name the published weights of an architecture, with their licence where a package brings them."""
    package = packaged.PACKAGES.get(architecture)
    source = f" ({packaged.LICENCE}, from {package.requirement})" if package else ""
    return f"ImageNet weights of {architecture}{source}"


def _imagenet(architecture: str) -> dict[str, Tensor]:
    """Have torchvision (or timm) fetch its ImageNet weights, or find them in its cache."""
    from thorax.models.registry import TIMM, specification

    if architecture in packaged.PACKAGES:
        return packaged.packaged_weights(architecture)
    name = specification(architecture).imagenet
    if not name:
        raise InputError(f"There are no ImageNet weights for {architecture}.", "Set train.pretrained to none.")
    if name.startswith(TIMM):
        from thorax.models.timm_nets import timm_weights

        try:
            return timm_weights(name.removeprefix(TIMM))
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"The published weights of {architecture} could not be had: {error}.",
                "Set train.pretrained to none or to a weights file.",
            ) from error
    from torchvision.models import get_weight

    weights = get_weight(name)
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"The ImageNet weights of {architecture} could not be had from {weights.url}: {error}.",
            f"Fetch that file elsewhere and put it at {file}, or set train.pretrained to none or to a weights file.",
        ) from error


def _fill(
    network: Network,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    names: Sequence[str] | None,
    origin: str,
) -> None:
    """Copy tensors into the network; published torchvision names count as the backbone's."""
    own = any(name.startswith("backbone.") for name in tensors)
    given = dict(tensors) if own else {f"backbone.{name}": t for name, t in tensors.items() if not _foreign(name)}
    wanted = network.state_dict()
    filled = {name: tensor for name, tensor in given.items() if name.startswith("backbone.") or name in ("mean", "std")}
    first = next(name for name, tensor in wanted.items() if tensor.ndim == 4)
    if first in filled and filled[first].shape[1] == 3:
        filled[first] = filled[first].sum(dim=1, keepdim=True)
    for name, tensor in filled.items():
        if name not in wanted:
            raise InputError(f"{origin} holds {name}, which this network has not.", "Is it of another architecture?")
        if tensor.shape != wanted[name].shape:
            shapes = f"{tuple(tensor.shape)} there and {tuple(wanted[name].shape)} here"
            raise InputError(f"{origin}: {name} is of shape {shapes}.", "Is it of another architecture?")
    missing = [
        name
        for name in wanted
        if name.startswith("backbone.") and name not in filled and not name.endswith("num_batches_tracked")
    ]
    # ConvNeXt's closing normalisation belongs to the published head.
    missing = [name for name in missing if not name.startswith("backbone.norm.")]
    if missing:
        raise InputError(f"{origin} lacks {missing[0]} and {len(missing) - 1} more.", "Is it of another architecture?")
    network.load_state_dict(filled, strict=False)
    heads = ("box_head.", "context_head.")
    others = {name: tensor for name, tensor in given.items() if name.startswith(heads) and name in wanted}
    if others and list(names or ()) == json.loads(metadata.get("findings", "[]")):
        network.load_state_dict(others, strict=False)
    _fill_head(network, given, json.loads(metadata.get("findings", "[]")), names, origin)


def _fill_head(
    network: Network, given: Mapping[str, Tensor], trained: list[str], names: Sequence[str] | None, origin: str
) -> None:
    """Copy the head's rows of findings that both know, and note the rest."""
    weight, bias = given.get("head.weight"), given.get("head.bias")
    shared = [name for name in names or () if name in trained]
    if weight is None or bias is None or not shared or weight.shape != (len(trained), network.feature_dim):
        network.notes.append(f"{origin}: the head starts afresh.")
        return
    with torch.no_grad():
        for name in shared:
            network.head.weight[list(names or ()).index(name)] = weight[trained.index(name)]
            network.head.bias[list(names or ()).index(name)] = bias[trained.index(name)]
    dropped = [name for name in trained if name not in shared]
    fresh = [name for name in names or () if name not in shared]
    if dropped:
        network.notes.append(f"{origin}: the heads of {', '.join(dropped)} were dropped.")
    if fresh:
        network.notes.append(f"{origin}: the heads of {', '.join(fresh)} start afresh.")


def _foreign(name: str) -> bool:
    return name.startswith(_FOREIGN_HEADS)
