"""Evaluate: the test split is opened once, and everything is reported with its interval."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def evaluate(
    network: Input[Model],
    calibration: Input[Artifact],
    store: Input[Dataset],
    evaluate_settings: str,
    evaluation: Output[Artifact],
) -> None:
    """Measure a candidate on the test split.

    Args:
        network: what train gave.
        calibration: what calibrate gave.
        store: what preprocess gave; its boxes are the truth of localization.
        evaluate_settings: the settings that this step reads, as JSON.
        evaluation: evaluation.json, report.html and figures.
    """
    from pathlib import Path

    from thorax.evaluation import evaluate as measure
    from thorax.events import reporting
    from thorax.files import read_json
    from thorax.steps import settings_of

    architecture = network.metadata["architecture"]
    with reporting("evaluate", architecture) as report:
        folder = Path(store.path)
        facts = measure(
            Path(network.path),
            Path(calibration.path),
            folder,
            settings_of(evaluate_settings).evaluation,
            Path(evaluation.path),
            architecture,
            read_json(folder / "store.json")["synthetic"],
        )
        evaluation.metadata["architecture"] = architecture
        auroc = facts["metrics"]["mean"]["auroc"]
        report.say(f"test AUROC {auroc['value']:.3f} ({auroc['low']:.3f} to {auroc['high']:.3f})")
