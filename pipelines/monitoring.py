"""The monitoring pipeline: examine, decide, and on an alarm train anew; on a cluster it runs on a schedule.

The training within it is the training pipeline, unchanged.
"""

import json
from pathlib import Path
from typing import Any

from kfp import dsl

from components.decide import decide, settle
from components.drift import drift
from pipelines.compile import write_pipeline
from pipelines.resources import equip
from pipelines.training import training
from thorax.settings import Cluster, Pipeline, Settings
from thorax.weights import moving

NAME = "thorax-monitoring"


def monitoring(how: Pipeline, cluster: Cluster, fresh: bool = False) -> dsl.base_component.BaseComponent:
    """Return the pipeline.

    Args:
        how: of the training within it; what watches is never taken from a cache.
        cluster: what each step is given on a cluster; this machine gives what it has.
        fresh: as for the training within it.
    """
    whole_training = training(how, cluster, fresh)

    def equipped(task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_caching_options(False)
        return equip(task, cluster)

    @dsl.pipeline(name=NAME, description="From what was answered to a verdict, and where it alarms to a new model")
    def pipeline(
        watch_settings: str,
        root: str,
        parts: list[str],
        architectures: list[str],
        check_settings: str,
        ingest_settings: str,
        prepare_settings: str,
        validate_settings: str,
        preprocess_settings: str,
        train_settings: str,
        calibrate_settings: str,
        evaluate_settings: str,
        select_settings: str,
        register_settings: str,
    ) -> None:
        seen = equipped(drift(watch_settings=watch_settings))
        decided = equipped(decide(watch_settings=watch_settings, report=seen.outputs["report"]))
        with dsl.If(decided.outputs["Output"] == "train", name="alarm"):
            trained = whole_training(
                root=root,
                revision=decided.outputs["revision"],
                reason=decided.outputs["reason"],
                parts=parts,
                architectures=architectures,
                check_settings=check_settings,
                ingest_settings=ingest_settings,
                prepare_settings=prepare_settings,
                validate_settings=validate_settings,
                preprocess_settings=preprocess_settings,
                train_settings=train_settings,
                calibrate_settings=calibrate_settings,
                evaluate_settings=evaluate_settings,
                select_settings=select_settings,
                register_settings=register_settings,
            )
            equipped(settle(watch_settings=watch_settings, registered=trained.outputs["registered"]))

    return pipeline


def compile_monitoring(settings: Settings, out: Path) -> Path:
    """Write the pipeline's YAML; the same settings give the same bytes, for this machine and for a cluster."""
    return write_pipeline(lambda: monitoring(settings.pipeline, settings.steps_cluster, moving(settings)), out)


def arguments(settings: Settings, training: dict[str, Any]) -> dict[str, Any]:
    """Return the pipeline's arguments for the places that the settings name.

    Args:
        settings: all settings.
        training: the arguments of the training within it.
    """
    tree = settings.model_dump(mode="json")
    tree["paths"]["var"] = str(settings.var)
    tree["registry"]["tracking_uri"] = settings.tracking_uri
    tree["data"]["root"] = str(settings.data_root)
    return {
        "watch_settings": json.dumps(tree, sort_keys=True),
        **training,
    }


def schedule_monitoring(settings: Settings, cron: str, name: str, folder: Path) -> dict[str, Any]:
    """Let a cluster run the pipeline again and again, one run at a time.

    Args:
        settings: all settings; `cluster.root` and `cluster.var` say where the steps find the project's data and state.
        cron: five fields (minute first) or Kubeflow's six (second first), in the cluster's time zone.
        name: of the schedule; one of that name is replaced.
        folder: where the compiled YAML is written.

    Returns:
        id, name, cron, and whether it is on.

    Raises:
        InputError: it is no schedule, or the data are not versioned.
        SettingsError: the registry is a file of this machine, or no volume holds the data.
        ClusterError: the cluster cannot be reached, or refuses.
    """
    from pipelines import cluster

    data = cluster.check(settings)
    package = compile_monitoring(settings, folder / "monitoring.yaml")
    reason = "examine what was answered, and answer an alarm"
    given = arguments(cluster.as_there(settings), cluster.arguments(settings, data))
    return cluster.repeat(settings, cron, name, reason, package, given)


def run_here(settings: Settings, folder: Path) -> None:
    """Run the compiled pipeline on this machine, with Kubeflow's local runner.

    Args:
        settings: all settings.
        folder: gets the YAML.
    """
    from pipelines.local import run_compiled
    from thorax import steps

    given = arguments(settings, steps.arguments(settings))
    run_compiled(compile_monitoring(settings, folder / "monitoring.yaml"), given, settings.var)
