"""What `thorax tune` searches, and how."""

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from thorax.errors import nearest
from thorax.settings.base import Count, Positive, Section
from thorax.settings.training import Train


class Range(Section):
    """Numbers from `low` to `high`, evenly or on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"low must lie below high, and above 0 where log is true (found {self.low}, {self.high})")
        return self


Choice = Annotated[tuple[Any, ...], Field(min_length=1)]

_SPACE: dict[str, Range | Choice] = {
    "learning_rate": Range(low=0.0003, high=0.01, log=True),
    "weight_decay": Range(low=0.001, high=0.1, log=True),
    "loss": ("bce", "focal", "weighted_bce", "asymmetric"),
    "dropout": Range(low=0.0, high=0.5),
    "label_smoothing": Range(low=0.0, high=0.1),
    "ema": (0.0, 0.98, 0.995),
    "augment.rotate": Range(low=0.0, high=15.0),
    "augment.shift": Range(low=0.0, high=0.1),
    "augment.scale": Range(low=0.0, high=0.15),
    "augment.brightness": Range(low=0.0, high=0.3),
    "augment.contrast": Range(low=0.0, high=0.3),
}


class Tune(Section):
    """A search over settings of `train`."""

    trials: Positive = 30
    startup_trials: Count = 6
    warmup_epochs: Count = 2
    space: dict[str, Range | Choice] = _SPACE

    @model_validator(mode="after")
    def _settings_of_train(self) -> "Tune":
        for path, values in self.space.items():
            for value in (values.low, values.high) if isinstance(values, Range) else values:
                _check(path, value)
        return self


def with_values(recipe: Train, values: dict[str, Any]) -> Train:
    """Return a recipe with some of its settings replaced; keys are as in `Tune.space`, such as `augment.rotate`."""
    tree = recipe.model_dump()
    for path, value in values.items():
        *sections, key = path.split(".")
        branch = tree
        for section in sections:
            branch = branch[section]
        branch[key] = value
    return Train.model_validate(tree)


def _check(path: str, value: Any) -> None:
    """Refuse a path that is no setting of `train`, and a value that it cannot take."""
    branch: Any = Train
    for part in path.split("."):
        fields = getattr(branch, "model_fields", {})
        if part not in fields or part in ("architectures", "overrides"):
            raise ValueError(f"space.{path}: no setting of train. {nearest(part, set(fields) - {'overrides'})}")
        branch = fields[part].annotation
    try:
        with_values(Train(), {path: value})
    except ValidationError as error:
        raise ValueError(f"space.{path}: {value!r}: {error.errors()[0]['msg']}") from error
