"""What may differ between the population a model was trained on and the one it meets: each by one parameter."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from thorax.datasets.phantom.subject import FINDINGS, SCANNERS
from thorax.errors import InputError, nearest
from thorax.findings import canonical


class Confounder(BaseModel):
    """A side marker that gives a finding away: L where it is present, R where it is absent.

    Attributes:
        finding: the finding that the marker follows.
        strength: share of the images whose marker says the truth; 0.5 says nothing, 1 always.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str
    strength: float = Field(ge=0.5, le=1)

    @field_validator("finding")
    @classmethod
    def _known(cls, name: str) -> str:
        known = canonical(name)
        if known not in FINDINGS:
            raise ValueError(f"unknown finding {name!r}. {nearest(name, FINDINGS)}")
        return known


class Shift(BaseModel):
    """A shifted population. The default is no shift; the anatomy of the subjects stays the same under any shift.

    Attributes:
        prevalence: factor on the rate of every finding; rates stay below 0.95.
        ap_share: share of AP images; None leaves the published 0.40.
        age: years added to every patient.
        exposure: factor on the exposure, 0.5 to 2.
        noise: factor on the noise, 0 to 10.
        blur: additional blur, standard deviation in pixels of a 1024 px image, 0 to 20.
        scanner: the machine that takes all images; None leaves the standard one.
        confounder: a side marker correlated with a finding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prevalence: float = Field(default=1.0, gt=0, le=50)
    ap_share: float | None = Field(default=None, ge=0, le=1)
    age: float = Field(default=0.0, ge=-60, le=60)
    exposure: float = Field(default=1.0, ge=0.5, le=2)
    noise: float = Field(default=1.0, ge=0, le=10)
    blur: float = Field(default=0.0, ge=0, le=20)
    scanner: str | None = None
    confounder: Confounder | None = None

    @field_validator("scanner")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in SCANNERS:
            raise ValueError(f"unknown scanner {name!r}. {nearest(name, SCANNERS)}")
        return name

    @field_validator("confounder", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            finding, colon, strength = value.partition(":")
            if not colon:
                raise ValueError("expected FINDING:STRENGTH, such as Effusion:0.9")
            return {"finding": finding, "strength": strength}
        return value


def parse_shift(texts: Sequence[str]) -> Shift:
    """Read shifts as they are typed, `"key=value"` each, such as `noise=3` or `confounder=Effusion:0.9`.

    Raises:
        InputError: an unknown, repeated or impossible one, named as it was typed.
    """
    values: dict[str, str] = {}
    for text in texts:
        key, sign, value = (part.strip() for part in text.partition("="))
        if not sign:
            raise InputError(f"The shift {text!r} is not of the form key=value.", "For example: --shift noise=3")
        if key not in Shift.model_fields:
            raise InputError(f"Unknown shift {key!r}.", nearest(key, Shift.model_fields))
        if key in values:
            raise InputError(f"The shift {key!r} is given twice.", "Give each shift once.")
        values[key] = value
    try:
        return Shift.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise InputError(f"The shift {key}={values.get(key, '')} is impossible: {first['msg']}.") from error
