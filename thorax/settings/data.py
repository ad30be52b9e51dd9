"""The dataset, its gate, its splits and its preprocessing."""

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from thorax.findings import CHEXPERT_REPORT, NO_FINDING, OTHER_FINDING, SHIPPED, Definitions, Vocabulary
from thorax.settings.base import Count, Positive, Section, Share
from thorax.settings.reading import Dicom

Uncertainty = Literal["zeros", "ones", "ignore", "smooth_ones", "smooth_zeros"]


def _definitions(value: Any) -> Any:
    """A bare list is one of findings; nothing is no definition."""
    return {"findings": value or ()} if isinstance(value, (list, tuple, type(None))) else value


class UncertainPolicy(Section):
    """What a label of −1 counts as, a finding, and the ranges of the smoothed targets (Pham et al. 2021)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Uncertainty] = Field(init=False)

    default: Uncertainty = "zeros"
    smooth_ones: tuple[Share, Share] = (0.55, 0.85)
    smooth_zeros: tuple[Share, Share] = (0.0, 0.3)

    def of(self, finding: str) -> Uncertainty:
        """Return the policy of one finding."""
        return self.__pydantic_extra__.get(finding, self.default)


class TableColumns(Section):
    """Which column of a table of one's own holds what; the table lies in the data root."""

    file: str = "table.csv"
    image: str = "path"
    patient: str = "patient_id"
    study: str | None = None
    view: str | None = None
    age: str | None = None
    sex: str | None = None
    findings: dict[str, str] = Field(default={})


class PhantomDefaults(Section):
    """What `thorax data make-phantom` makes where no option says otherwise."""

    count: Positive = 2400
    size: Annotated[int, Field(ge=32, le=4096)] = 128
    seed: Count = 41


class Data(Section):
    """The dataset, its findings, and how its labels are read."""

    source: Literal["phantom", "nih", "chexpert", "table"] = "phantom"
    root: Path = Path("data")
    #: The user's definitions of findings; `words` has them over the shipped ones.
    vocabulary: Annotated[Definitions, BeforeValidator(_definitions)] = Definitions()
    findings: tuple[str, ...] = CHEXPERT_REPORT
    no_finding: Literal["exclude", "class", "filter"] = "exclude"
    other_finding: Literal["exclude", "class"] = "exclude"
    views: Literal["frontal", "all"] = "frontal"
    not_mentioned: Literal["zeros", "ignore"] = "zeros"
    uncertain: UncertainPolicy = UncertainPolicy()
    table: TableColumns = TableColumns()
    phantom: PhantomDefaults = PhantomDefaults()

    @field_validator("findings", mode="before")
    @classmethod
    def _resolved(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, (str, list, tuple)) and "vocabulary" in info.data:
            return SHIPPED.merged(info.data["vocabulary"]).resolve(value)
        return value

    @field_validator("uncertain", mode="after")
    @classmethod
    def _of_findings(cls, value: UncertainPolicy, info: ValidationInfo) -> UncertainPolicy:
        named = value.__pydantic_extra__
        if not named or "vocabulary" not in info.data:
            return value
        words = SHIPPED.merged(info.data["vocabulary"])
        return value.model_copy(update={words.resolve([name])[0]: policy for name, policy in named.items()})

    @functools.cached_property
    def words(self) -> Vocabulary:
        """The run's vocabulary: the shipped definitions, and `vocabulary` over them."""
        return SHIPPED.merged(self.vocabulary)

    @property
    def classes(self) -> tuple[str, ...]:
        """The findings that a network learns, in the order of its outputs."""
        extra: tuple[str, ...] = (NO_FINDING,) if self.no_finding == "class" else ()
        extra += (OTHER_FINDING,) if self.other_finding == "class" else ()
        return tuple(dict.fromkeys((*self.findings, *extra)))


#: Expectations that stop a run; what each expects is listed by `thorax data validate --list`.
CRITICAL = (
    "columns_complete",
    "table_not_empty",
    "image_ids_present",
    "image_ids_unique",
    "patients_present",
    "patients_as_named",
    "paths_unique",
    "paths_inside",
    "views_known",
    "sexes_known",
    "ages_mostly_in_range",
    "labels_known",
    "labels_mostly_consistent",
    "findings_published",
    "positives_enough",
    "negatives_enough",
    "patients_enough",
    "patients_in_one_split",
    "looks_in_one_split",
    "files_mostly_readable",
    "files_unchanged",
    "pictures_mostly_sound",
    "boxes_mostly_inside",
    "boxes_mostly_labelled",
    "boxes_of_findings",
    "boxes_spread",
)


class Validation(Section):
    """Bounds of the data gate, and which expectations stop a run."""

    prevalence_floor: Share = 0.002
    min_positives: Count = 5
    min_patients: Count = 3
    age: tuple[float, float] = (0, 120)
    max_age_span: Annotated[float, Field(ge=0)] = 20
    max_faulty_share: Share = 0.02
    max_uncertain_share: Share = 0.5
    max_missing_share: Share = 0.95
    max_unreadable_share: Share = 0.01
    max_unsound_share: Share = 0.2
    near_bits: Annotated[int, Field(ge=0, le=31)] = 24
    reference: Path | None = None
    max_prevalence_change: Annotated[float, Field(ge=1)] = 3.0
    critical: tuple[str, ...] = CRITICAL
    warn_only: tuple[str, ...] = ()


class Split(Section):
    """Shares of the patients a split."""

    method: Literal["stratified", "official"] = "stratified"
    train: Share = 0.60
    validation: Share = 0.12
    calibration: Share = 0.13
    test: Share = 0.15
    seed: Count = 11

    @model_validator(mode="after")
    def _whole(self) -> "Split":
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of train, validation, calibration and test must add up to 1, not {total:g}")
        return self


class Preprocess(Section):
    """How an image becomes what the network reads."""

    size: Annotated[int, Field(ge=32, le=2048)] = 96
    resize: Literal["squash", "pad"] = "squash"
    clahe: bool = False
    crop: Literal["none", "lungs"] = "none"
    shard_rows: Positive = 4096
    workers: Count = 0
    dicom: Dicom = Dicom()
