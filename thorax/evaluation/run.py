"""The evaluate step: the test split is opened once, and everything is reported with its interval."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from thorax.calibration import Calibration
from thorax.calibration.calibrators import sigmoid
from thorax.calibration.outputs import Outputs, read_outputs
from thorax.errors import InputError
from thorax.evaluation import paired
from thorax.evaluation.cooccurrence import cooccurrence
from thorax.evaluation.faithfulness import measure_faithfulness
from thorax.evaluation.figures_of_merit import Scores
from thorax.evaluation.localization import Located, localization_figures, locate
from thorax.evaluation.resampling import patient_weights
from thorax.evaluation.subgroups import groups_of, subgroups
from thorax.evaluation.summary import summarise
from thorax.evaluation.trust import (
    conformal_by_group,
    conformal_figures,
    dropout_figures,
    ood_figures,
    uncertainty_figures,
)
from thorax.files import atomic_folder, read_json, write_json
from thorax.settings import Evaluation as Settings

if TYPE_CHECKING:
    from thorax.preprocessing.store import ImageStore

FILE, REPORT = "evaluation.json", "report.html"
#: Weight (F, D), bias (F,) and dropout rate of a network's last layer.
Head = tuple[np.ndarray, np.ndarray, float]
_VERSION = 1


@dataclass(frozen=True)
class Evaluated:
    """What was measured, and the arrays that the report draws from; row i of each is test image i."""

    facts: dict[str, Any]
    outputs: Outputs
    calibration: Calibration
    scores: Scores
    rows: pd.DataFrame
    located: list[Located]


def evaluate(
    train_dir: Path | str,
    calibration_dir: Path | str,
    store_dir: Path | str,
    settings: Settings,
    out: Path | str,
    title: str,
    synthetic: bool,
) -> dict[str, Any]:
    """Measure a candidate on the test split and write `evaluation.json`, `scores.npz`, `report.html` and `figures/`.

    Args:
        train_dir: a training's folder.
        calibration_dir: its calibration's folder.
        store_dir: the image store, for who is in the images, their boxes, and pictures.
        settings: the section `evaluation` of the settings.
        out: the folder to write; replaced whole.
        title: what the report calls the candidate.
        synthetic: whether the model was trained on phantoms; its page then says so in a banner.

    Returns:
        The content of `evaluation.json`.

    Raises:
        InputError: a file is missing or damaged, or the logits are of other images than the store's test split.
    """
    from thorax.evaluation.report import write_report
    from thorax.preprocessing.store import ImageStore

    store = ImageStore.open(store_dir)
    calibration = Calibration.load(calibration_dir)
    network = read_json(Path(train_dir) / "network.json")
    outputs = read_outputs(Path(train_dir) / "outputs-test.npz", len(calibration.findings))
    rows = match(outputs, store)
    images = store.images(rows["position"].to_numpy())
    head = _read_head(Path(train_dir), float(network.get("dropout") or 0.0))
    evaluated = measure(outputs, calibration, rows, store.boxes, settings, images, head)
    facts = evaluated.facts
    facts |= {
        "faithfulness": _faithfulness(Path(train_dir) / "model.onnx", images, evaluated.scores, settings),
        "title": title,
        "synthetic": bool(synthetic),
        "network": {key: value for key, value in network.items() if not isinstance(value, (dict, list))},
        "data": {key: store.info.get(key) for key in ("source", "revision", "size")},
    }
    with atomic_folder(out) as folder:
        write_json(folder / FILE, facts)
        _answers(evaluated).save(folder / paired.FILE)
        write_report(evaluated, store, folder)
    return facts


def _answers(evaluated: Evaluated) -> paired.Answers:
    scores, outputs = evaluated.scores, evaluated.outputs
    return paired.Answers(
        paired.digests(outputs.image_id),
        paired.digests(outputs.patient_id),
        scores.probabilities.astype(np.float32),
        scores.truth.astype(np.float32),
        scores.thresholds,
    )


def _faithfulness(model: Path, images: np.ndarray, scores: Scores, settings: Settings) -> dict[str, Any] | None:
    if not settings.faithfulness or not model.is_file():
        return None
    return measure_faithfulness(
        model,
        images,
        scores,
        cases=settings.faithfulness,
        replicates=settings.bootstrap,
        confidence=settings.confidence,
        seed=settings.seed,
    )


def match(outputs: Outputs, store: "ImageStore") -> pd.DataFrame:
    """Return the store's rows of the outputs' images, in their order.

    Raises:
        InputError: an image of either is not in the other, or their truths differ.
    """
    rows = store.rows[store.rows["split"] == "test"].assign(position=store.indices("test"))
    rows = rows.set_index(rows["image_id"].astype(str))
    ours, theirs = set(map(str, outputs.image_id)), set(rows.index)
    if ours != theirs:
        odd = sorted(ours ^ theirs)[0]
        where = "the network's outputs and not in the store" if odd in ours else "the store and not in the outputs"
        raise InputError(
            f"The test split does not match: {len(ours ^ theirs)} images differ; {odd!r} is in {where}.",
            "The network was trained on another store; run the pipeline again from preprocess.",
        )
    rows = rows.loc[outputs.image_id.astype(str)].reset_index(drop=True)
    truth = store.truth(rows["position"].to_numpy())
    differs = (truth != outputs.truth) & ~(np.isnan(truth) & np.isnan(outputs.truth))
    if differs.any():
        row, column = np.argwhere(differs)[0]
        raise InputError(
            f"The store says {truth[row, column]:g} for {store.findings[column]} of image "
            f"{rows['image_id'].iloc[row]!r}, and the network's outputs say {outputs.truth[row, column]:g}.",
            "Labels changed since it was trained; run the pipeline again from preprocess.",
        )
    return rows


def measure(
    outputs: Outputs,
    calibration: Calibration,
    rows: pd.DataFrame,
    boxes: pd.DataFrame,
    settings: Settings,
    images: np.ndarray | None = None,
    head: Head | None = None,
) -> Evaluated:
    """Measure arrays of any model.

    Args:
        outputs: of the test split.
        calibration: fitted to other patients.
        rows: a row an image in the same order, with `sex`, `age`, `view` and `filter_no_finding` where they are known.
        boxes: readers' boxes; may be empty.
        settings: the section `evaluation`.
        images: (N, S, S), what the network read, for the out-of-distribution score; None judges by features alone.
        head: weight (F, D), bias (F,) and dropout rate of the last layer, for Monte Carlo dropout; None leaves it out.

    Raises:
        InputError: there is no image.
    """
    if not len(outputs):
        raise InputError("The test split is empty.", "Give it patients under `split` in params.yaml.")
    findings = list(calibration.findings)
    probabilities = calibration.probabilities(outputs.logits)
    scores = Scores(outputs.truth, probabilities, sigmoid(outputs.logits), calibration.thresholds, outputs.patient_id)
    weights = patient_weights(outputs.patient_id, settings.bootstrap, settings.seed)
    options: dict[str, Any] = {"confidence": settings.confidence, "bins": settings.ece_bins}
    located = [] if outputs.maps is None else locate(outputs.maps, outputs.image_id, boxes, findings)
    ood_scores = calibration.ood_score(outputs.features, images)
    groups = groups_of(rows)
    views = groups.get("view")
    answers = calibration.answers(probabilities, None if views is None else views.tolist())
    facts: dict[str, Any] = {
        "version": _VERSION,
        "findings": findings,
        "images": len(outputs),
        "patients": len(np.unique(outputs.patient_id)),
        "confidence": settings.confidence,
        "bootstrap": settings.bootstrap,
        "ece_bins": settings.ece_bins,
        "calibration": calibration.to_json(),
        "metrics": summarise(scores, weights, findings, **options),
        "subgroups": subgroups(
            scores,
            weights,
            groups,
            findings,
            min_group=settings.min_group,
            max_gap=settings.max_gap,
            **options,
        ),
        "conformal": conformal_figures(
            answers,
            outputs.truth,
            weights,
            outputs.patient_id,
            findings,
            settings.confidence,
            calibration.alpha,
        )
        | dict(calibration.info.get("promised", {}))
        | {
            "groups": conformal_by_group(
                answers,
                outputs.truth,
                weights,
                outputs.patient_id,
                groups,
                settings.confidence,
                settings.min_group,
            )
        },
        "dropout": None if head is None else dropout_figures(calibration, outputs.features, outputs.truth, head),
        "uncertainty": uncertainty_figures(
            calibration, probabilities, outputs.truth, ood_scores, weights, settings.confidence, views
        ),
        "ood": ood_figures(calibration, ood_scores),
        "localization": localization_figures(
            located, outputs.patient_id, findings, settings.bootstrap, settings.seed, settings.confidence
        ),
        "cooccurrence": cooccurrence(scores.decisions, probabilities, outputs.truth, findings),
        "faithfulness": None,  # needs the network, not its outputs alone; see `evaluate`
        "no_finding_filter": _filtered(scores, weights, rows, findings, options),
    }
    return Evaluated(facts, outputs, calibration, scores, rows, located)


def _read_head(train_dir: Path, rate: float) -> Head | None:
    """Return the last layer as training left it; None where it did not, or without dropout."""
    from safetensors.numpy import load_file

    file = train_dir / "head.safetensors"
    if not rate or not file.is_file():
        return None
    tensors = load_file(str(file))
    return tensors["weight"], tensors["bias"], rate


def _filtered(
    scores: Scores, weights: np.ndarray, rows: pd.DataFrame, findings: list[str], options: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the metrics without the images that are labelled "No Finding", where the settings ask for that filter."""
    if "filter_no_finding" not in rows or not rows["filter_no_finding"].any():
        return None
    kept = ~rows["filter_no_finding"].to_numpy(dtype=bool)
    if not kept.any():
        return None
    return {
        "images": int(kept.sum()),
        "metrics": summarise(scores.take(kept), weights[:, kept], findings, **options),
    }
