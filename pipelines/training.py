"""The training pipeline, whole, in the order in which it runs."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Model

from components.calibrate import calibrate
from components.evaluate import evaluate
from components.ingest import ingest
from components.preprocess import preprocess
from components.register import register
from components.select import select
from components.train import train
from components.validate import validate
from pipelines.resources import equip
from thorax.settings import Cluster

NAME = "thorax-training"


class Trained(NamedTuple):
    """What a run gives back."""

    validation: Artifact
    selection: Artifact
    registered: Model


def training(
    parallel: int = 2, caching: bool = True, cluster: Cluster | None = None
) -> dsl.base_component.BaseComponent:
    """Return the pipeline.

    Args:
        parallel: architectures trained side by side.
        caching: whether a step whose inputs have not changed is skipped.
        cluster: what each step is given on a cluster; None leaves it to this machine.
    """

    def prepared(task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_caching_options(caching)
        return equip(task, task.component_spec.name, cluster) if cluster else task

    @dsl.pipeline(name=NAME, description="From a versioned dataset to a registered, calibrated model")
    def pipeline(
        root: str,
        revision: str,
        reason: str,
        architectures: list[str],
        ingest_settings: str,
        validate_settings: str,
        preprocess_settings: str,
        train_settings: str,
        calibrate_settings: str,
        evaluate_settings: str,
        select_settings: str,
        register_settings: str,
    ) -> Trained:  # type: ignore[return]
        data = prepared(ingest(root=root, revision=revision, ingest_settings=ingest_settings))
        dataset = data.outputs["dataset"]
        gate = prepared(validate(root=root, dataset=dataset, validate_settings=validate_settings))
        ready = prepared(
            preprocess(
                root=root,
                dataset=dataset,
                validation=gate.outputs["result"],
                preprocess_settings=preprocess_settings,
            )
        )
        store = ready.outputs["store"]

        with dsl.ParallelFor(items=architectures, name="architectures", parallelism=parallel) as architecture:
            network = prepared(train(store=store, architecture=architecture, train_settings=train_settings))
            calibration = prepared(
                calibrate(network=network.outputs["network"], store=store, calibrate_settings=calibrate_settings)
            )
            evaluation = prepared(
                evaluate(
                    network=network.outputs["network"],
                    calibration=calibration.outputs["calibration"],
                    store=store,
                    evaluate_settings=evaluate_settings,
                )
            )

        # A Collected serves one task only, so each fan-in makes its own.
        choice = prepared(
            select(evaluations=dsl.Collected(evaluation.outputs["evaluation"]), select_settings=select_settings)
        )
        version = prepared(
            register(
                dataset=dataset,
                validation=gate.outputs["result"],
                store=store,
                networks=dsl.Collected(network.outputs["network"]),
                calibrations=dsl.Collected(calibration.outputs["calibration"]),
                evaluations=dsl.Collected(evaluation.outputs["evaluation"]),
                selection=choice.outputs["selection"],
                reason=reason,
                register_settings=register_settings,
            )
        )
        return Trained(
            validation=gate.outputs["result"],
            selection=choice.outputs["selection"],
            registered=version.outputs["registered"],
        )

    return pipeline
