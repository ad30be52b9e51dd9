"""Answers made by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

from thorax.prediction import (
    FindingAnswer,
    Heat,
    ImageReport,
    ModelName,
    Novelty,
    Prediction,
    new_request_id,
)
from thorax.prediction_log import STATISTICS

START = datetime(2026, 1, 1, tzinfo=UTC)


def answer(finding: str, probability: float, threshold: float = 0.5, **values: Any) -> FindingAnswer:
    """Return the answer for a finding; present and sure where `values` do not say otherwise."""
    given = {"decision": probability >= threshold, "answer": "present", "uncertainty": 0.1} | values
    given.setdefault("heat", Heat(x=0.5, y=0.6, spread=0.1))
    return FindingAnswer(finding=finding, probability=probability, threshold=threshold, **given)


def prediction(
    probability: float = 0.8, minutes: float = 0, findings: tuple[str, ...] = ("Effusion",), **values: Any
) -> Prediction:
    """Return a whole prediction, made `minutes` after START."""
    image = ImageReport(
        kind="PNG",
        width=64,
        height=64,
        bits=8,
        view=values.pop("view", "PA"),
        age=values.pop("age", 50.0),
        sex=values.pop("sex", "F"),
        statistics=dict.fromkeys(STATISTICS, 0.5),
    )
    given: dict[str, Any] = {
        "request_id": new_request_id(),
        "time": START + timedelta(minutes=minutes),
        "model": ModelName(name="thorax", version="1", architecture="custom_cnn", synthetic=True),
        "findings": tuple(answer(name, probability) for name in findings),
        "refer": False,
        "refer_reasons": (),
        "novelty": Novelty(score=1.0, cutoff=2.0, out=False),
        "image": image,
        "summary": "",
    }
    return Prediction(**(given | values))
