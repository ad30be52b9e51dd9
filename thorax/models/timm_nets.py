"""Networks of the timm library (Wightman 2019) by name, `timm:NAME`."""

from typing import Any

import torch
from torch import Tensor, nn

from thorax.errors import InputError, nearest

_REPORTED = "Choose a convolutional network, such as timm:resnet18 or timm:convnextv2_nano."


class _FeatureMap(nn.Module):
    """A timm network without head and pooling, whose answer is (N, D, h, w) whatever its own layout."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.channels = int(net.num_features)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 1, S, S) to (N, D, h, w)."""
        found: Tensor = self.net.forward_features(image)  # type: ignore[operator]
        return found if found.shape[1] == self.channels else found.permute(0, 3, 1, 2)


def timm_backbone(name: str, stride: int) -> tuple[nn.Sequential, int]:
    """Build a network of timm as a backbone.

    Args:
        name: timm's own, such as `resnet18` or `convnextv2_nano`.
        stride: pixels a cell of the map; 16 where the network can be dilated.

    Raises:
        InputError: timm is not installed, knows no such network, or the network has no feature map or no such stride.
    """
    library = _library()
    if name not in library.list_models():
        raise InputError(f"timm knows no network {name!r}.", nearest(name, library.list_models()))
    options: dict[str, Any] = {} if stride == 32 else {"output_stride": stride}
    try:
        net = library.create_model(name, pretrained=False, in_chans=1, num_classes=0, global_pool="", **options)
    except (TypeError, NotImplementedError, AssertionError, ValueError, RuntimeError) as error:
        raise InputError(f"timm:{name} cannot be built at output stride {stride}: {error}", _REPORTED) from error
    backbone = _FeatureMap(net)
    _check(name, backbone)
    return nn.Sequential(backbone), backbone.channels


def timm_weights(name: str) -> dict[str, Tensor]:
    """Return timm's published weights of a network, under the names that the backbone has here.

    Raises:
        OSError, RuntimeError: they cannot be fetched.
    """
    net = _library().create_model(name, pretrained=True, num_classes=0, global_pool="")
    return {f"0.net.{key}": tensor for key, tensor in net.state_dict().items()}


def timm_state(name: str) -> dict[str, Tensor]:
    """Return the state of timm's network with its classifier, untrained, to match published tensors by their order."""
    return dict(_library().create_model(name, pretrained=False).state_dict())


def _library() -> Any:
    import timm

    return timm


def _check(name: str, backbone: _FeatureMap) -> None:
    """Refuse a network whose answer to an image is not a map."""
    was = backbone.training
    try:
        with torch.no_grad():
            shape = tuple(backbone.eval().net.forward_features(torch.zeros(1, 1, 96, 96)).shape)  # type: ignore[operator]
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(f"timm:{name} does not take images of any size: {error}", _REPORTED) from error
    backbone.train(was)
    if len(shape) != 4 or backbone.channels not in (shape[1], shape[3]):
        raise InputError(f"timm:{name} answers with {shape}, which is no feature map.", _REPORTED)
