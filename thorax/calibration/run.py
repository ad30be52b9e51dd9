"""The calibrate step: from a network's outputs on the calibration split to the files that serving applies."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thorax.calibration.choice import Chosen, choose
from thorax.calibration.conformal import Cutoffs, fit_cutoffs
from thorax.calibration.model import Calibration, FindingCalibration
from thorax.calibration.ood import fit_ood, thumbnails
from thorax.calibration.operating import Rule, operating_point, threshold_interval
from thorax.calibration.outputs import Outputs, read_outputs
from thorax.calibration.referral import fit_rule
from thorax.errors import InputError
from thorax.files import read_json
from thorax.findings import SHIPPED, Definitions, Vocabulary
from thorax.settings import Calibration as Settings

#: A group (a view) has conformal cut-offs of its own from this many images of either kind on.
_MIN_GROUP = 30


@dataclass(frozen=True)
class Surroundings:
    """What the image store knows of the images beside their logits.

    Attributes:
        views: (N,) the view of each calibration image.
        train_thumbnails: (M, 64), of the training images.
        calibration_thumbnails: (N, 64), of the calibration images.
        words: the run's vocabulary; the sensitivity that it wants of a finding wins over what the settings aim at.
    """

    views: np.ndarray
    train_thumbnails: np.ndarray
    calibration_thumbnails: np.ndarray
    words: Vocabulary = SHIPPED


def calibrate(
    train_dir: Path | str, settings: Settings, out: Path | str, store_dir: Path | str | None = None
) -> dict[str, Any]:
    """Fit calibrators, operating points, conformal cut-offs and out-of-distribution statistics.

    Args:
        train_dir: a training's folder, with `network.json`, `outputs-train.npz` and `outputs-calibration.npz`.
        settings: the section `calibration` of the settings.
        out: where `calibration.json` and `ood.safetensors` are written.
        store_dir: the image store that it was trained on. Without it out-of-distribution scores rest on the features
            alone, and there are no conformal cut-offs a view.

    Returns:
        The content of `calibration.json`.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    folder = Path(train_dir)
    findings = tuple(read_json(folder / "network.json")["findings"])
    train = read_outputs(folder / "outputs-train.npz", len(findings))
    calibration = read_outputs(folder / "outputs-calibration.npz", len(findings))
    around = None if store_dir is None else look_up(store_dir, train, calibration)
    fitted = fit(findings, calibration, train.features, settings, around)
    fitted.save(out)
    return fitted.to_json()


def look_up(store_dir: Path | str, train: Outputs, calibration: Outputs) -> Surroundings:
    """Find the images of two splits in their store.

    Raises:
        InputError: the store lacks one of them.
    """
    from thorax.preprocessing.store import ImageStore

    store = ImageStore.open(store_dir)
    place = {str(name): row for row, name in enumerate(store.rows["image_id"])}
    rows = []
    for outputs in (train, calibration):
        missing = [str(name) for name in outputs.image_id if str(name) not in place]
        if missing:
            raise InputError(
                f"Image {missing[0]!r} of the network's outputs is not in the store {store_dir}.",
                "The network was trained on another store; run the pipeline again from preprocess.",
            )
        rows.append(np.array([place[str(name)] for name in outputs.image_id], dtype=np.int64))
    return Surroundings(
        store.rows["view"].fillna("unknown").astype(str).to_numpy()[rows[1]],
        thumbnails(store.images(rows[0])),
        thumbnails(store.images(rows[1])),
        SHIPPED.merged(Definitions.model_validate(store.info.get("vocabulary", {}))),
    )


def fit(
    findings: tuple[str, ...],
    outputs: Outputs,
    train_features: np.ndarray,
    settings: Settings,
    around: Surroundings | None = None,
) -> Calibration:
    """Fit a calibration to arrays, of any model.

    Args:
        findings: F names.
        outputs: of the calibration split; patients in it were not trained on.
        train_features: (M, D), what out-of-distribution scores compare with.
        settings: the section `calibration`.
        around: views, thumbnails and wanted sensitivities, where they are at hand.

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
    views = around.views if around is not None and settings.conformal_by_view else None
    words = SHIPPED if around is None else around.words
    wanted = {name: value for name in findings if (value := words.sensitivity(name)) is not None}
    aims = [
        settings.model_copy(update={"operating_point": "sensitivity", "target": wanted[name]})
        if name in wanted
        else settings
        for name in findings
    ]
    fitted = Calibration(
        findings=findings,
        by_finding=tuple(_finding(outputs, i, one, aims[i], views) for i, one in enumerate(chosen)),
        ood=fit_ood(
            train_features,
            outputs.features,
            settings.ood_kind,
            settings.ood_quantile,
            None if around is None else around.train_thumbnails,
            None if around is None else around.calibration_thumbnails,
        ),
        alpha=settings.conformal_alpha,
        info={
            "images": len(outputs),
            "patients": len(np.unique(outputs.patient_id)),
            "train_images": len(train_features),
            "method": settings.method,
            "operating_point": settings.operating_point,
            "target": settings.target,
            "sensitivities": wanted,
            "promised": dict(zip(("missed", "false"), promised(settings), strict=True)),
            "ood_quantile": settings.ood_quantile,
        },
    )
    p = fitted.probabilities(outputs.logits)
    said = fitted.answers(p, None if views is None else views.tolist())
    return replace(fitted, refer_rule=fit_rule(p, outputs.truth, said, settings.referral, settings.referral_error))


def promised(settings: Settings) -> tuple[float, float]:
    """Return the largest share of positives answered absent, and of negatives answered present, that is promised.

    The error rate holds for both; a sensitivity or specificity that is aimed at holds as well where it is stricter.
    """
    alpha, beyond = settings.conformal_alpha, 1 - settings.target
    return (
        min(alpha, beyond) if settings.operating_point == "sensitivity" else alpha,
        min(alpha, beyond) if settings.operating_point == "specificity" else alpha,
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
                by_group[str(name)] = fit_cutoffs(
                    probabilities[here], truth[here], *promised(settings), point.threshold
                )
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
        cutoffs=fit_cutoffs(probabilities, truth, *promised(settings), point.threshold),
        cutoffs_by_group=by_group,
        positives=chosen.positives,
        note="; ".join(part for part in (chosen.note, point.note) if part),
        details=details,
    )


def _or_none(value: float) -> float | None:
    """JSON has no NaN: what is not known is null."""
    return float(value) if np.isfinite(value) else None
