"""What the service takes and gives beside predictions, as types that the OpenAPI page shows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from thorax.bundle.precision import Record
from thorax.bundle.scope import Scope
from thorax.bundle.session import Precision
from thorax.prediction import ModelName, Prediction

Role = Literal["radiologist", "physician", "radiographer", "other"]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Explanation(_Shape):
    """An answer with its heatmaps.

    `overlays` holds a picture a finding: the heat drawn over the image with its scale, or, as a `layer`, the heat
    alone, to be laid over `image`, the radiograph as it was read. All are PNG in base64.
    """

    prediction: Prediction
    method: str
    draw: Literal["overlay", "layer"]
    image: str | None
    overlays: dict[str, str]


class BatchItem(_Shape):
    """One file of a batch: its place among them, its name as it was sent, and the answer or why there is none."""

    index: int
    name: str
    prediction: Prediction | None = None
    error: str = ""
    mend: str = ""


class BatchAnswer(_Shape):
    """The answers for a batch, in the order in which its files came."""

    answers: tuple[BatchItem, ...]
    answered: int
    refused: int


class Feedback(_Shape):
    """What a reader says of an earlier answer: the findings that are there (true) and that are not (false)."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "example": {
                "request_id": "0f" * 16,
                "findings": {"Effusion": True, "Edema": False},
                "role": "radiologist",
            }
        },
    )

    request_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    findings: Annotated[dict[Annotated[str, Field(max_length=60)], bool], Field(min_length=1, max_length=40)]
    role: Role = "other"


class FeedbackTaken(_Shape):
    """What was kept of a reader's feedback: the findings on which the same role had not said the same before."""

    request_id: str
    kept: int


class AdminStatus(_Shape):
    """How the worker that answered is, for its operator."""

    version: str
    model_ready: bool
    model_note: str
    swaps: int
    predictions_logged: int
    keys_required: bool
    keys_valid: int
    rate_limit: str | None


class AuditLines(_Shape):
    """The latest lines of the audit log, which was checked whole."""

    lines: tuple[dict[str, object], ...]
    total: int


class OperatingPoint(_Shape):
    """A finding and the probability from which on it is called present."""

    finding: str
    threshold: float


class PrecisionReport(_Shape):
    """In which precision the network runs, by which library, why, and what that was measured to change."""

    runs: Precision
    runtime: str
    why: str
    measured: Record | None


class ModelReport(_Shape):
    """What is being served."""

    model: ModelName
    findings: tuple[OperatingPoint, ...]
    scope: Scope
    input_size: int
    created: str
    revision: str
    lineage: dict[str, object]
    card: str
    precision: PrecisionReport
    #: Why this may not be the newest model; empty where it is.
    note: str
