"""Register: the winner's bundle becomes a version in the registry, with its lineage and the verdict of each gate."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.base import component


@component
def register(
    dataset: Input[Dataset],
    validation: Input[Artifact],
    store: Input[Dataset],
    networks: Input[list[Model]],
    calibrations: Input[list[Artifact]],
    evaluations: Input[list[Artifact]],
    selection: Input[Artifact],
    reason: str,
    register_settings: str,
    registered: Output[Model],
) -> None:
    """Put the winner into the registry as challenger, and every candidate's record into the tracking server.

    Args:
        dataset: what ingest gave.
        validation: what validate gave.
        store: what preprocess gave.
        networks: what train gave, one a candidate.
        calibrations: what calibrate gave, one a candidate.
        evaluations: what evaluate gave, one a candidate.
        selection: what select gave.
        reason: why this run was made, in a person's words.
        register_settings: the settings that this step reads, as JSON.
        registered: the bundle, registered.json with the version, its aliases and its gates, and plots for DVC.
    """
    from pathlib import Path

    from thorax.evaluation.exports import Folders, export
    from thorax.events import reporting
    from thorax.registry.record import Candidate, record
    from thorax.steps import settings_of

    with reporting("register") as report:
        by_name = [{item.metadata["architecture"]: item for item in items} for items in (calibrations, evaluations)]
        candidates = [
            Candidate(
                architecture=network.metadata["architecture"],
                network=Path(network.path),
                calibration=Path(by_name[0][network.metadata["architecture"]].path),
                evaluation=Path(by_name[1][network.metadata["architecture"]].path),
                run_id=network.metadata["mlflow_run"],
            )
            for network in networks
        ]
        facts = record(
            settings_of(register_settings),
            candidates,
            dataset=Path(dataset.path),
            validation=Path(validation.path),
            store=Path(store.path),
            selection=Path(selection.path),
            reason=reason,
            out=Path(registered.path),
        )
        folders = {c.architecture: Folders(c.network, c.calibration, c.evaluation) for c in candidates}
        export(folders, selection.metadata["winner"], Path(registered.path) / "plots")
        registered.metadata.update({"version": facts["version"]})
        said = "" if facts["new"] else "nothing has changed: this is "
        report.say(f"{said}version {facts['version']} of {facts['name']}: {', '.join(facts['aliases']) or 'no alias'}")
