"""The calibrate step: from a network's outputs on the calibration split to the files that serving applies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thorax.calibration.choice import Chosen, choose
from thorax.calibration.conformal import Cutoffs, fit_cutoffs
from thorax.calibration.model import Calibration, FindingCalibration, ReferRule
from thorax.calibration.ood import fit_ood
from thorax.calibration.operating import Rule, operating_point, threshold_interval
from thorax.calibration.outputs import Outputs, read_outputs
from thorax.errors import InputError
from thorax.files import read_json
from thorax.settings import Calibration as Settings

#: A group (a view) has conformal cut-offs of its own from this many images of either kind on.
_MIN_GROUP = 30


def calibrate(
    train_dir: Path | str, settings: Settings, out: Path | str, groups: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Fit calibrators, operating points, conformal cut-offs and out-of-distribution statistics.

    Args:
        train_dir: a training's folder, with `network.json`, `outputs-train.npz` and `outputs-calibration.npz`.
        settings: the section `calibration` of the settings.
        out: where `calibration.json` and `ood.safetensors` are written.
        groups: the view of each image id, to fit conformal cut-offs a view where `conformal_by_view` is set.

    Returns:
        The content of `calibration.json`.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    folder = Path(train_dir)
    findings = tuple(read_json(folder / "network.json")["findings"])
    fitted = fit(
        findings,
        read_outputs(folder / "outputs-calibration.npz", len(findings)),
        read_outputs(folder / "outputs-train.npz", len(findings)).features,
        settings,
        groups if settings.conformal_by_view else None,
    )
    fitted.save(out)
    return fitted.to_json()


def fit(
    findings: tuple[str, ...],
    outputs: Outputs,
    train_features: np.ndarray,
    settings: Settings,
    groups: Mapping[str, str] | None = None,
) -> Calibration:
    """Fit a calibration to arrays, of any model.

    Args:
        findings: F names.
        outputs: of the calibration split; patients in it were not trained on.
        train_features: (M, D), what out-of-distribution scores compare with.
        settings: the section `calibration`.
        groups: the view of each image id; None fits one set of conformal cut-offs for all.

    Raises:
        InputError: there is no image in the calibration split.
    """
    if not len(outputs):
        raise InputError("The calibration split is empty.", "Give it patients under `split` in params.yaml.")
    chosen = choose(
        outputs.logits,
        outputs.truth,
        outputs.patient_id,
        method=settings.method,
        folds=settings.folds,
        min_positives=settings.min_positives,
    )
    views = None if groups is None else np.array([groups.get(str(name), "unknown") for name in outputs.image_id])
    ood = fit_ood(train_features, settings.ood_kind)
    return Calibration(
        findings=findings,
        by_finding=tuple(_finding(outputs, i, one, settings, views) for i, one in enumerate(chosen)),
        ood=ood,
        ood_cutoff=float(np.quantile(ood.score(outputs.features), settings.ood_quantile)),
        alpha=settings.conformal_alpha,
        refer_rule=ReferRule(tuple(settings.refer_when), settings.refer_entropy),
        info={
            "images": len(outputs),
            "patients": len(np.unique(outputs.patient_id)),
            "train_images": len(train_features),
            "method": settings.method,
            "operating_point": settings.operating_point,
            "target": settings.target,
            "ood_quantile": settings.ood_quantile,
        },
    )


def _finding(
    outputs: Outputs, column: int, chosen: Chosen, settings: Settings, views: np.ndarray | None
) -> FindingCalibration:
    rows = ~np.isnan(outputs.truth[:, column])
    truth, patients = outputs.truth[rows, column], outputs.patient_id[rows]
    probabilities = chosen.calibrator.probabilities(outputs.logits[rows, column])
    rule = Rule(settings.operating_point, settings.target, settings.fbeta, settings.cost_ratio)
    point = operating_point(probabilities, truth, rule)
    low, high = threshold_interval(probabilities, truth, patients, rule)
    by_group: dict[str, Cutoffs] = {}
    if views is not None:
        for name in np.unique(views[rows]):
            here = views[rows] == name
            if min((truth[here] > 0.5).sum(), (truth[here] <= 0.5).sum()) >= _MIN_GROUP:
                by_group[str(name)] = fit_cutoffs(probabilities[here], truth[here], settings.conformal_alpha)
    details = {
        "cross_validated_nll": {name: float(score) for name, score in chosen.scores.items()},
        "sensitivity": _or_none(point.sensitivity),
        "specificity": _or_none(point.specificity),
        "threshold_low": _or_none(low),
        "threshold_high": _or_none(high),
        "images": int(rows.sum()),
    }
    return FindingCalibration(
        calibrator=chosen.calibrator,
        threshold=point.threshold,
        cutoffs=fit_cutoffs(probabilities, truth, settings.conformal_alpha),
        cutoffs_by_group=by_group,
        positives=chosen.positives,
        note="; ".join(part for part in (chosen.note, point.note) if part),
        details=details,
    )


def _or_none(value: float) -> float | None:
    """JSON has no NaN: what is not known is null."""
    return float(value) if np.isfinite(value) else None
