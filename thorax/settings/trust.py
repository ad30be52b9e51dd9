"""Calibration, evaluation and the choice between candidates."""

from typing import Annotated, Literal

from pydantic import Field

from thorax.settings.base import Count, Positive, Section, Share


class Calibration(Section):
    """Calibrators, operating points, answers, the out-of-distribution cut-off, and the referral budget."""

    method: Literal["auto", "none", "temperature", "temperature_each", "platt", "beta", "isotonic"] = "auto"
    folds: Annotated[int, Field(ge=2)] = 5
    min_positives: Positive = 8
    operating_point: Literal["sensitivity", "specificity", "youden", "f1", "fbeta", "cost"] = "sensitivity"
    target: Annotated[float, Field(gt=0, lt=1)] = 0.90
    fbeta: Annotated[float, Field(gt=0)] = 2.0
    cost_ratio: Annotated[float, Field(gt=0)] = 5.0
    conformal_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.10
    conformal_by_view: bool = False
    ood_kind: Literal["mahalanobis", "relative", "knn"] = "mahalanobis"
    ood_quantile: Annotated[float, Field(gt=0.5, lt=1)] = 0.98
    referral: Share | None = 0.20
    referral_error: Share | None = None


class Evaluation(Section):
    """How the test split is reported."""

    bootstrap: Annotated[int, Field(ge=10)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    ece_bins: Annotated[int, Field(ge=2)] = 15
    min_group: Positive = 20
    faithfulness: Count = 16
    max_gap: Share = 0.15
    seed: Count = 31


class Select(Section):
    """What makes one candidate better than another."""

    metric: Literal["auroc", "auprc", "f1"] = "auroc"
