"""Architectures and the recipes that train them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from thorax.errors import nearest
from thorax.settings.base import Count, Positive, Section, Share, explain

#: Networks that need nothing but what the project installs.
ARCHITECTURES = (
    *("custom_cnn", "densenet121", "resnet50", "efficientnet_b0", "inception_v3", "convnext_tiny"),
    *("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
)
#: Before the name of a network of the timm library.
TIMM = "timm:"


def _known(name: str) -> str:
    """Let the name of an architecture through."""
    if name in ARCHITECTURES or (name.startswith(TIMM) and len(name) > len(TIMM)):
        return name
    raise ValueError(f"unknown architecture {name!r}. {nearest(name, (*ARCHITECTURES, TIMM + 'NAME'))}")


Architecture = Annotated[str, AfterValidator(_known)]


class Augment(Section):
    """Random changes of a training batch."""

    rotate: Annotated[float, Field(ge=0, le=45)] = 10.0
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    brightness: Share = 0.1
    contrast: Share = 0.1
    noise: Share = 0.0
    flip: bool = False


class Boxes(Section):
    """The head that answers with a box a finding."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    loss: Literal["mse", "giou"] = "mse"


class Train(Section):
    """Architectures and the recipe that trains each of them."""

    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = (
        "resnet50",
        "efficientnet_b0",
        "custom_cnn",
    )
    pretrained: str = "none"
    unfreeze: str = "all"
    unfreeze_epochs: Count = 0
    stride: Positive | None = None
    loss: Literal["bce", "weighted_bce", "focal", "asymmetric"] = "focal"
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    auc_epochs: Count = 0
    auc_margin: Annotated[float, Field(gt=0, le=10)] = 1.0
    boxes: Boxes = Boxes()
    context: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warmup_epochs: Count = 1
    epochs: Positive = 14
    batch_size: Annotated[int, Field(ge=2)] = 16
    patience: Positive = 6
    gradient_clip: Annotated[float, Field(ge=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    sampling: Literal["shuffle", "class_balanced", "patient_balanced"] = "shuffle"
    tta_views: Annotated[int, Field(ge=0, le=8)] = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    augment: Augment = Augment()
    epoch_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Count = 23
    deterministic: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = 0
    processes: Count = 0
    overrides: dict[Architecture, dict[str, Any]] = Field(
        default={
            "custom_cnn": {"epochs": 12, "learning_rate": 0.003},
            "efficientnet_b0": {"epochs": 3},
            "resnet50": {"epochs": 2, "learning_rate": 0.001},
        }
    )

    @model_validator(mode="after")
    def _processes_have_work(self) -> "Train":
        if self.processes > self.batch_size:
            raise ValueError(f"processes: {self.processes} cannot share batches of batch_size {self.batch_size}")
        return self

    @model_validator(mode="after")
    def _overrides_hold(self) -> "Train":
        for architecture in self.overrides:
            self.of(architecture)
        return self

    def of(self, architecture: str) -> "Train":
        """Return the recipe of one architecture: these settings with its overrides, and no overrides left.

        Raises:
            ValueError: an override with a wrong key or value, named by its path.
        """
        changes = dict(self.overrides.get(architecture, {}))
        for key in {"architectures", "overrides"} & changes.keys():
            raise ValueError(f"overrides.{architecture}.{key}: not a setting that one architecture can take otherwise")
        base = self.model_dump(exclude={"overrides"})
        for key in ("augment", "boxes"):
            if isinstance(changes.get(key), dict):
                changes[key] = base[key] | changes[key]
        try:
            return Train.model_validate(base | changes | {"overrides": {}})
        except ValidationError as error:
            lines = ["train." + explain(item, Train) for item in error.errors()]
            named = [line.replace("train.", f"overrides.{architecture}.", 1) for line in lines]
            raise ValueError("; ".join(named)) from error
