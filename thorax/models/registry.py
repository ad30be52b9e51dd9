"""Which architectures there are, what each needs, and how one is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from thorax.errors import InputError, nearest
from thorax.models import torchvision_nets
from thorax.models.custom_cnn import custom_cnn
from thorax.models.network import Network
from thorax.models.packaged import PACKAGES
from thorax.models.timm_nets import timm_backbone
from thorax.models.torchvision_nets import Builder

#: Before the name of a network of the timm library.
TIMM = "timm:"


@dataclass(frozen=True)
class Specification:
    """What is known of an architecture before it is built.

    Attributes:
        builder: makes the backbone at an output stride, and says its number of channels.
        strides: output strides it offers, the published one first; a map has one cell in `stride` pixels.
        minimum: smallest image side that it takes, px.
        imagenet: name of torchvision's ImageNet weights, timm's under `timm:`, or an installed package's under
            `package:`; "" where there are none.
        bfloat16_on_cpu: whether bfloat16 is the faster on CPUs that have it; depthwise convolutions are not
            (EfficientNet-B0 trains at 61 images a second in float32 and 29 in bfloat16 on one core at 96 px).
    """

    builder: Builder
    strides: tuple[int, ...]
    minimum: int
    imagenet: str = ""
    bfloat16_on_cpu: bool = True


ARCHITECTURES: dict[str, Specification] = {
    "custom_cnn": Specification(custom_cnn, (8, 16), 32),
    "densenet121": Specification(torchvision_nets.densenet121, (32, 16), 32, "DenseNet121_Weights.IMAGENET1K_V1"),
    "resnet50": Specification(torchvision_nets.resnet50, (32, 16), 32, "ResNet50_Weights.IMAGENET1K_V2"),
    "efficientnet_b0": Specification(
        torchvision_nets.efficientnet_b0, (32, 16), 32, "EfficientNet_B0_Weights.IMAGENET1K_V1", bfloat16_on_cpu=False
    ),
    "inception_v3": Specification(torchvision_nets.inception_v3, (32, 16), 75, "Inception_V3_Weights.IMAGENET1K_V1"),
    "convnext_tiny": Specification(torchvision_nets.convnext_tiny, (32, 16), 32, "ConvNeXt_Tiny_Weights.IMAGENET1K_V1"),
}

for _name in PACKAGES:
    ARCHITECTURES[_name] = Specification(
        partial(timm_backbone, f"tf_{_name}"), (32, 16), 32, f"package:{_name}", bfloat16_on_cpu=False
    )


def specification(architecture: str) -> Specification:
    """Look an architecture up: a key of `ARCHITECTURES`, or `timm:NAME` for a network of the timm library.

    Raises:
        InputError: there is none of that name; the nearest is named.
    """
    if architecture.startswith(TIMM):
        return Specification(partial(timm_backbone, architecture.removeprefix(TIMM)), (32, 16), 32, architecture)
    try:
        return ARCHITECTURES[architecture]
    except KeyError:
        raise InputError(f"Unknown architecture {architecture!r}.", nearest(architecture, ARCHITECTURES)) from None


def build(
    architecture: str,
    findings: int,
    dropout: float = 0.3,
    pretrained: str = "none",
    *,
    size: int | None = None,
    stride: int | None = None,
    names: Sequence[str] | None = None,
    folder: Path | str = Path("var/pretrained"),
    boxes: bool = False,
    context: int = 0,
) -> Network:
    """Build a network.

    Args:
        architecture: a key of `ARCHITECTURES`, or `timm:NAME`.
        findings: number of outputs F.
        dropout: before the head.
        pretrained: "none", "imagenet", "phantom" (`<folder>/<architecture>.safetensors`), a weights file, or a
            folder that holds `weights.safetensors`, such as a model bundle.
        size: side of the images to come, px; checked where it is given.
        stride: pixels a cell of the feature map; the published one where it is not given.
        names: the findings' names, by which the rows of a pretrained head are matched.
        folder: where the project keeps weights that it made on phantoms.
        boxes: whether to have a box head.
        context: how many numbers are known beside the image; 0 for none.

    Raises:
        InputError: unknown architecture, stride or weights, an image smaller than the network takes,
            or weights of another shape.
    """
    spec = specification(architecture)
    if size is not None and size < spec.minimum:
        raise InputError(
            f"{architecture} takes images of at least {spec.minimum} px, and preprocess.size is {size}.",
            f"Set preprocess.size to {spec.minimum} or more, or leave {architecture} out of train.architectures.",
        )
    stride = spec.strides[0] if stride is None else stride
    if stride not in spec.strides:
        offered = " or ".join(map(str, spec.strides))
        raise InputError(f"{architecture} has no output stride {stride}.", f"Set train.stride to {offered}, or null.")
    backbone, feature_dim = spec.builder(stride)
    _take_grey(backbone)
    network = Network(backbone, feature_dim, findings, dropout, boxes=boxes, context=context)
    if pretrained != "none":
        from thorax.models.pretrained import load_pretrained

        load_pretrained(network, architecture, pretrained, names, Path(folder))
    return network


def _take_grey(backbone: nn.Module) -> None:
    """Let the first convolution take one channel: the sum of its weights over red, green and blue.

    On an image repeated in three channels the answer stays the same, at a third of the work.
    """
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    if first.in_channels == 1:
        return
    first.in_channels = 1
    first.weight = nn.Parameter(first.weight.detach().sum(dim=1, keepdim=True))
