"""Torchvision's networks cut down to their backbones; module names stay as torchvision publishes them.

Torchvision takes seconds to import, so each builder imports it for itself.
"""

from collections.abc import Callable

from torch import nn

Builder = Callable[[int], tuple[nn.Sequential, int]]


def _named(parts: dict[str, nn.Module]) -> nn.Sequential:
    """Chain modules under their names."""
    chain = nn.Sequential()
    for name, module in parts.items():
        chain.add_module(name, module)
    return chain


def densenet121(stride: int) -> tuple[nn.Sequential, int]:
    """DenseNet-121 (Huang et al. 2017). The closing ReLU is not in place, so hooks and map readers see what it saw."""
    from torchvision.models import densenet121 as make

    features = make(weights=None).features
    if stride == 16:
        features.transition3.pool = nn.Identity()
    return _named({"features": features, "relu": nn.ReLU(inplace=False)}), 1024


def resnet50(stride: int) -> tuple[nn.Sequential, int]:
    """ResNet-50 (He et al. 2016); each block starts as the identity (Goyal et al. 2017)."""
    from torchvision.models import resnet50 as make

    net = make(weights=None, zero_init_residual=True)
    if stride == 16:
        net.layer4[0].conv2.stride = (1, 1)
        net.layer4[0].downsample[0].stride = (1, 1)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return _named({name: getattr(net, name) for name in names}), 2048


def efficientnet_b0(stride: int) -> tuple[nn.Sequential, int]:
    """EfficientNet-B0 (Tan and Le 2019)."""
    from torchvision.models import efficientnet_b0 as make

    features = make(weights=None).features
    if stride == 16:
        features[6][0].block[1][0].stride = (1, 1)
    return _named({"features": features}), 1280


def inception_v3(stride: int) -> tuple[nn.Sequential, int]:
    """Inception-v3 (Szegedy et al. 2016) without its auxiliary head, which only training of the full network used."""
    from torchvision.models import inception_v3 as make

    net = make(weights=None, aux_logits=False, init_weights=False)
    if stride == 16:
        net.Conv2d_1a_3x3.conv.stride = (1, 1)
    names = (
        *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
        *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    )
    return _named({name: getattr(net, name) for name in names}), 2048


def convnext_tiny(stride: int) -> tuple[nn.Sequential, int]:
    """ConvNeXt-Tiny (Liu et al. 2022). Its last normalisation stands before the pooling here, where maps see it."""
    from torchvision.models import convnext_tiny as make

    net = make(weights=None)
    if stride == 16:
        net.features[6][1] = nn.Conv2d(384, 768, kernel_size=2, stride=1, padding="same")
    return _named({"features": net.features, "norm": net.classifier[0]}), 768
