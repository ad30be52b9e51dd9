"""What the model answers for one radiograph, in one typed record, and the paragraph that says it in plain words."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from thorax.findings import SHIPPED, Code

Answer = Literal["present", "absent", "uncertain"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Box(_Record):
    """Where a finding's heatmap is warmest: upper left corner and extent, as fractions of the image."""

    x: Share
    y: Share
    w: Share
    h: Share


class Heat(_Record):
    """Where a finding's heatmap lies: its centre and its spread, as fractions of the image's sides.

    `outside` is the share of the heat outside the box in which the lungs and the heart of a frontal radiograph lie, and
    `agreement` how well the heat lies where this finding is usually looked for (cosine, 0 to 1).
    """

    x: Share
    y: Share
    spread: Annotated[float, Field(ge=0.0)]
    outside: Share | None = None
    agreement: Share | None = None


class FindingAnswer(_Record):
    """The answer for one finding.

    `display` is its name in text and `code` its code for reports, both from the vocabulary of the model; empty in
    answers of earlier releases.

    `answer` is "absent" where the calibrated `probability` is below `lower`, "present" where it is above `upper`, and
    "uncertain" between. `threshold`, the operating point that evaluation reports, lies between the two. `uncertainty`
    is the binary entropy in bits, 0 to 1.

    Deprecated, and never at odds with `answer`: `decision`, whether the probability reaches `threshold`, and
    `conformal`, the same word as `answer`.
    """

    finding: str
    display: str = ""
    code: Code | None = None
    probability: Share
    answer: Answer
    lower: Share | None = None
    upper: Share | None = None
    threshold: Share
    uncertainty: Share
    box: Box | None = None
    heat: Heat | None = None
    decision: Annotated[bool, Field(json_schema_extra={"deprecated": True})]
    conformal: Annotated[Answer, Field(json_schema_extra={"deprecated": True})] = "uncertain"  # always `answer`

    @property
    def label(self) -> str:
        """Its name as text shows it in mid-sentence."""
        return self.display or SHIPPED.display(self.finding)

    @model_validator(mode="before")
    @classmethod
    def _one_answer(cls, given: Any) -> Any:
        """Fill the deprecated fields; before release 0.2 they were the only ones, and could contradict."""
        if not isinstance(given, dict):
            return given
        if "answer" in given:
            return given | {"conformal": given["answer"]}
        if "decision" not in given or "conformal" not in given:
            return given
        said = reconciled(given["conformal"], bool(given["decision"]))
        return given | {"answer": said, "conformal": said}


def reconciled(conformal: str, decision: bool) -> str:
    """Return the one answer of a release before 0.2: uncertain where its answer and its decision contradict."""
    return "uncertain" if conformal == ("absent" if decision else "present") else conformal


class Novelty(_Record):
    """How far the image lies from those the model was calibrated on; `out` when `score` exceeds `cutoff`."""

    score: float
    cutoff: float
    out: bool


class ModelName(_Record):
    """Which model answered, and in which precision its network ran.

    `synthetic` models were trained on phantoms and say nothing about patients.
    """

    name: str
    version: str
    architecture: str
    synthetic: bool
    precision: Literal["float32", "bfloat16"] = "float32"


class ImageReport(_Record):
    """What is known of the image: its format, what was given with it, its statistics, what was checked and assumed."""

    kind: str
    width: int
    height: int
    bits: int
    view: str | None = None
    age: float | None = None
    sex: str | None = None
    statistics: dict[str, float] = {}
    checks: dict[str, str] = {}
    assumptions: tuple[str, ...] = ()


class Prediction(_Record):
    """One answer.

    `outside_scope` holds a sentence for each declared fact (view, age, sex, manufacturer, modality) that the training
    data do not cover. Where `withheld` is true, `findings` is empty: the image is outside the training data, and the
    service is set to give no answer there.

    Never written out as JSON: `maps`, the class activation maps (findings, rows, columns), and `embedding`, what the
    network made of the image in a few numbers, which the prediction log keeps for monitoring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    request_id: str
    time: datetime
    model: ModelName
    findings: tuple[FindingAnswer, ...]
    refer: bool
    refer_reasons: tuple[str, ...]
    novelty: Novelty
    outside_scope: dict[str, str] = {}
    withheld: bool = False
    image: ImageReport
    summary: str
    took_ms: float | None = None
    maps: SkipJsonSchema[np.ndarray | None] = Field(default=None, exclude=True, repr=False)
    embedding: SkipJsonSchema[tuple[float, ...]] = Field(default=(), exclude=True, repr=False)

    @property
    def outside(self) -> bool:
        """Whether the image lies outside the model's training data, by its declared facts or by the picture."""
        return bool(self.outside_scope) or self.novelty.out

    def withhold(self) -> "Prediction":
        """Return the prediction without its findings where it is outside the training data, else as it is."""
        if not self.outside:
            return self
        said = "No findings are reported, because this image is outside the model's training data."
        reasons = " ".join(self.outside_scope.values())
        return self.model_copy(update={"findings": (), "withheld": True, "summary": f"{said} {reasons}".strip()})

    def of(self, finding: str) -> FindingAnswer:
        """Return the answer for one finding.

        Raises:
            KeyError: the model does not know it.
        """
        for answer in self.findings:
            if answer.finding == finding:
                return answer
        raise KeyError(finding)


def new_request_id() -> str:
    """Return an id that no other request has, and that says nothing about who asked."""
    return uuid.uuid4().hex


def now() -> datetime:
    """Return the time in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def percent(probability: float) -> str:
    """Return a probability as a person says it, never as a certainty.

    >>> percent(0.874), percent(0.9999), percent(0.0001)
    ('87%', 'over 99%', 'under 1%')
    """
    if probability > 0.99:
        return "over 99%"
    return "under 1%" if probability < 0.01 else f"{probability:.0%}"


def listed(words: Sequence[str]) -> str:
    """Join words as a person does.

    >>> listed(["effusion", "edema", "cardiomegaly"])
    'effusion, edema and cardiomegaly'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def summarise(
    answers: Sequence[FindingAnswer], novelty: Novelty, synthetic: bool, outside: Mapping[str, str] | None = None
) -> str:
    """Say the whole answer in one paragraph of plain words.

    It names the finding with the highest probability, what is present, uncertain and absent, what was assessed, and
    whether the image lies outside the model's training data.
    """
    parts = []
    if novelty.out or outside:
        parts.append("This image is outside the model's training data. Do not rely on the findings below.")
        parts += (outside or {}).values()
    top = max(answers, key=lambda answer: answer.probability)
    parts.append(f"Highest probability: {top.label}, {percent(top.probability)} ({top.answer}).")
    for word in ("present", "uncertain", "absent"):
        named = [one.label for one in answers if one.answer == word]
        if named:
            parts.append(f"{word.capitalize()}: {listed(named)}.")
    parts.append(f"The model assessed {listed([one.label for one in answers])} only.")
    if synthetic:
        parts.append("The model was trained on synthetic phantoms. Its output does not apply to patients.")
    return " ".join(parts)
