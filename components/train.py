"""Train: one architecture learns on the image store; its outputs on every split are all that later steps need."""

from kfp.dsl import Dataset, Input, Model, Output

from components.base import component


@component
def train(store: Input[Dataset], architecture: str, train_settings: str, network: Output[Model]) -> None:
    """Train one architecture; resumes where an interrupted run of the same work stopped.

    Args:
        store: what preprocess gave.
        architecture: its name.
        train_settings: the settings that this step reads, as JSON.
        network: weights, ONNX graph, learning curves, and logits and features of every split.
    """
    from pathlib import Path

    from thorax.errors import RegistryError
    from thorax.events import reporting
    from thorax.preflight import require_gpus
    from thorax.registry.bundles import fetch
    from thorax.registry.live import live_run
    from thorax.registry.tracking import client, speaking
    from thorax.steps import handed_of, key_of, settings_of
    from thorax.training import train as fit
    from thorax.weights import pinned

    with reporting("train", architecture) as report:
        settings = pinned(settings_of(train_settings))
        require_gpus(handed_of(train_settings, "gpus", 0))
        recipe = settings.train
        key = key_of(architecture, train_settings, store.metadata, recipe.pretrained)
        checkpoints = settings.var / "checkpoints" / key
        if recipe.pretrained.startswith("registry:"):
            weights = fetch(settings, recipe.pretrained.removeprefix("registry:"))
            recipe = recipe.model_copy(update={"pretrained": str(weights)})
        with live_run(settings, architecture, key, report) as tell:
            facts = fit(
                Path(store.path),
                architecture,
                recipe,
                Path(network.path),
                checkpoints=checkpoints,
                report=tell,
                pretrained_dir=settings.var / "pretrained",
            )
            if tell.run_id:
                try:
                    with speaking(settings):
                        client(settings).log_artifact(tell.run_id, str(Path(network.path) / "batch.png"), "training")
                except RegistryError as error:
                    report.warn(f"MLflow does not take the picture of what the network saw. {error}")
            network.metadata.update({"architecture": architecture, "mlflow_run": tell.run_id})
        for note in facts["notes"]:
            report.warn(note)
        report.say(f"validation AUROC {facts['validation_auroc']:.3f} at epoch {facts['best_epoch']}")
