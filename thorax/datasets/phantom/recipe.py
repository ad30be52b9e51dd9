"""All that decides a phantom dataset, checked before anything is written."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from thorax import findings as vocabulary
from thorax.datasets.phantom import rates
from thorax.datasets.phantom.render import MAX_SIZE, MIN_SIZE
from thorax.datasets.phantom.shift import Shift
from thorax.errors import InputError, ThoraxError

LayoutName = Literal["nih", "chexpert", "dicom"]

#: Of NIH's fourteen, those that CheXpert's columns can say (masses and nodules as Lung Lesion, infiltration as Lung
#: Opacity, pleural thickening as Pleural Other).
CHEXPERT_FINDINGS = tuple(name for name in vocabulary.NIH14 if name not in ("Emphysema", "Fibrosis", "Hernia"))

#: Where findings are chosen: the rate of each, and the most findings that an image has on average.
CHOSEN_RATE = 0.30
CHOSEN_TOTAL = 1.5


class Recipe(BaseModel):
    """What `make_phantom` makes. The same recipe gives the same files.

    Attributes:
        count: images.
        size: width and height in pixels.
        seed: of everything random.
        layout: `nih`, `chexpert` or `dicom` (NIH's tables, DICOM images).
        findings: what may be seen; None is all that the layout can label, at NIH's published rates.
        prevalence: the rate of each finding; None follows the rule of `rates`.
        severity: lowest and highest severity of a present finding; uniform between them.
        shift: how the population differs from the default one.
        label_noise: share of the present findings that the labels miss; as many absent ones are called present.
        uncertain: share of the mentioned labels that are −1 (CheXpert's layout alone).
        masks: also write a mask of every finding.
        twins: also write every subject in health.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(default=2400, ge=1, le=10_000_000)
    size: int = Field(default=128, ge=MIN_SIZE, le=MAX_SIZE)
    seed: int = Field(default=7, ge=0, lt=2**32)
    layout: LayoutName = "nih"
    findings: tuple[str, ...] | None = None
    prevalence: float | None = Field(default=None, gt=0, le=0.95)
    severity: tuple[float, float] = (0.1, 1.0)
    shift: Shift = Shift()
    label_noise: float = Field(default=0.0, ge=0, le=0.5)
    uncertain: float = Field(default=0.0, ge=0, le=0.5)
    masks: bool = False
    twins: bool = False

    @field_validator("findings", mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, (list, tuple)) and value):
            try:
                return vocabulary.resolve(value, vocabulary.NIH14)
            except ThoraxError as error:
                raise ValueError(str(error)) from error
        return None

    @field_validator("severity")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not 0 < low <= high <= 1:
            raise ValueError("expected two numbers above 0 and up to 1, the lower first")
        return value

    @model_validator(mode="after")
    def _fitting(self) -> "Recipe":
        if self.layout == "chexpert":
            foreign = [name for name in self.chosen if name not in CHEXPERT_FINDINGS]
            if foreign:
                raise ValueError(f"CheXpert's layout has no column for {', '.join(foreign)}; choose --layout nih")
        elif self.uncertain:
            raise ValueError("only CheXpert's layout can say that a label is uncertain; choose --layout chexpert")
        confounder = self.shift.confounder
        if confounder is not None and confounder.finding not in self.made:
            raise ValueError(f"the side marker cannot follow {confounder.finding}, which is not among the findings")
        return self

    @property
    def chosen(self) -> tuple[str, ...]:
        """The findings that may be seen, in the order of NIH's list where none were chosen."""
        if self.findings is not None:
            return self.findings
        return CHEXPERT_FINDINGS if self.layout == "chexpert" else vocabulary.NIH14

    @property
    def made(self) -> tuple[str, ...]:
        """The findings that may be seen, and the support devices that distract from them."""
        return (*self.chosen, vocabulary.SUPPORT_DEVICES)

    def rates(self) -> dict[str, float]:
        """Return each finding's rate before any shift.

        `prevalence` where it is given. Else, where findings were chosen, 0.30 each (less where that would give more
        than 1.5 findings an image), so that a small dataset holds enough of them; never less than the published rate.
        Else the published rates of NIH's table.
        """
        published = rates.published_rates()
        if self.prevalence is not None:
            return dict.fromkeys(self.chosen, self.prevalence)
        if self.findings is None:
            return {name: published[name] for name in self.chosen}
        wanted = min(CHOSEN_RATE, CHOSEN_TOTAL / len(self.chosen))
        return {name: max(wanted, published[name]) for name in self.chosen}

    def arguments(self) -> dict[str, Any]:
        """Return the recipe as JSON holds it, with the findings spelt out."""
        return self.model_dump(mode="json") | {"rates": {name: round(rate, 6) for name, rate in self.rates().items()}}


def make_recipe(**arguments: Any) -> Recipe:
    """Check the arguments of a phantom dataset.

    Raises:
        InputError: names every impossible argument.
    """
    try:
        return Recipe.model_validate(arguments)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise InputError("This phantom dataset cannot be made: " + "; ".join(lines) + ".") from error


def _explain(item: Any) -> str:
    path: Sequence[Any] = item["loc"]
    text = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
    if not path:
        return text
    return f"{'.'.join(str(part) for part in path)} {item['input']!r}: {text}"
