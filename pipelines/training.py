"""The training pipeline, whole, in the order in which it runs."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Model

from components.calibrate import calibrate
from components.check import check
from components.evaluate import evaluate
from components.ingest import ingest
from components.prepare import prepare
from components.preprocess import preprocess
from components.register import register
from components.select import select
from components.train import train
from components.validate import validate
from pipelines.resources import equip
from thorax.settings import Cluster, Pipeline

NAME = "thorax-training"


class Trained(NamedTuple):
    """What a run gives back."""

    validation: Artifact
    selection: Artifact
    registered: Model


def training(how: Pipeline, cluster: Cluster, fresh: bool = False) -> dsl.base_component.BaseComponent:
    """Return the pipeline.

    Args:
        how: architectures trained side by side, and whether a step whose inputs have not changed is skipped.
        cluster: what each step is given on a cluster; this machine gives what it has.
        fresh: never take a network from Kubeflow's cache, as what it starts from may have become another while the
            settings stay. Where it has not, the step itself finds its finished checkpoint.
    """

    def equipped(task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_caching_options(how.caching)
        return equip(task, cluster)

    @dsl.pipeline(name=NAME, description="From a versioned dataset to a registered, calibrated model")
    def pipeline(
        root: str,
        revision: str,
        reason: str,
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
    ) -> Trained:  # type: ignore[return]
        looked = equipped(check(root=root, revision=revision, check_settings=check_settings))
        data = equipped(ingest(root=root, revision=revision, ingest_settings=ingest_settings)).after(looked)
        dataset = data.outputs["dataset"]

        with dsl.ParallelFor(items=parts, name="parts") as part:
            images = equipped(prepare(dataset=dataset, part=part, prepare_settings=prepare_settings))

        # A Collected serves one task only, so each fan-in makes its own.
        gate = equipped(
            validate(
                dataset=dataset,
                prepared=dsl.Collected(images.outputs["prepared"]),
                validate_settings=validate_settings,
            )
        )
        ready = equipped(
            preprocess(
                dataset=dataset,
                prepared=dsl.Collected(images.outputs["prepared"]),
                validation=gate.outputs["result"],
                preprocess_settings=preprocess_settings,
            )
        )
        store = ready.outputs["store"]

        with dsl.ParallelFor(items=architectures, name="architectures", parallelism=how.parallel) as architecture:
            network = equipped(train(store=store, architecture=architecture, train_settings=train_settings))
            network.set_caching_options(how.caching and not fresh)
            calibration = equipped(
                calibrate(network=network.outputs["network"], store=store, calibrate_settings=calibrate_settings)
            )
            evaluation = equipped(
                evaluate(
                    network=network.outputs["network"],
                    calibration=calibration.outputs["calibration"],
                    store=store,
                    evaluate_settings=evaluate_settings,
                )
            )

        choice = equipped(
            select(evaluations=dsl.Collected(evaluation.outputs["evaluation"]), select_settings=select_settings)
        )
        version = equipped(
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
