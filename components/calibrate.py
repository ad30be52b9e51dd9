"""Calibrate: logits become probabilities one may believe, with operating points and a sense of the unknown."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def calibrate(
    network: Input[Model], store: Input[Dataset], calibrate_settings: str, calibration: Output[Artifact]
) -> None:
    """Fit everything that the calibration split decides.

    Args:
        network: what train gave.
        store: what preprocess gave; strangeness is judged by the image too, and answers may differ by view.
        calibrate_settings: the settings that this step reads, as JSON.
        calibration: calibrators, thresholds, conformal cut-offs and out-of-distribution statistics.
    """
    from pathlib import Path

    from thorax.calibration import calibrate as fit
    from thorax.events import reporting
    from thorax.steps import settings_of

    architecture = network.metadata["architecture"]
    with reporting("calibrate", architecture):
        fit(Path(network.path), settings_of(calibrate_settings).calibration, Path(calibration.path), Path(store.path))
        calibration.metadata["architecture"] = architecture
