"""A Kubeflow cluster: how it is reached, and what each step is given there."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from thorax.settings.base import Count, Positive, Section

Step = Literal[
    "check", "ingest", "prepare", "validate", "preprocess", "train", "calibrate", "evaluate", "select", "register"
]
#: What a machine is, which the step that checks must have as training will.
_MACHINE = ("gpu", "gpu_kind", "node_selector", "tolerations")
#: What Kubernetes calls a quantity: 500m, 4, 16Gi.
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]


class Toleration(Section):
    """A taint of a node that a step may run beside."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Exists"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Resources(Section):
    """What one step is given; requests and limits are the same, so that no neighbour can take it away."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpu: Count = 0
    gpu_kind: str = "nvidia.com/gpu"
    node_selector: dict[str, str] = Field(default={})
    tolerations: tuple[Toleration, ...] = ()
    timeout_minutes: Count = 0
    retries: Count = 0
    shared_memory: Quantity | None = None


class Volume(Section):
    """A persistent volume claim and where every step finds it."""

    claim: str
    path: str


class Secret(Section):
    """A Kubernetes secret, and which of its keys becomes which environment variable of every step."""

    name: str
    variables: dict[str, str]


class Trainer(Section):
    """Kubeflow Trainer, for `thorax pipeline trainjob`: training that several nodes share."""

    runtime: str = "torch-distributed"
    kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    nodes: Positive = 2
    store: str = "/mnt/thorax/store"


class Cluster(Section):
    """Where `thorax pipeline submit` sends the pipeline, and what the steps find there."""

    host: str | None = None
    namespace: str | None = None
    token_file: Path | None = None
    ca_certificate: Path | None = None
    image: str | None = None
    experiment: str = "thorax"
    service_account: str | None = None
    pipeline_root: str | None = None
    var: str = "/mnt/thorax/var"
    root: str = "/mnt/thorax/data"
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()
    environment: dict[str, str] = Field(default={})
    every_step: Resources = Resources(cpu="2", memory="8Gi", timeout_minutes=240)
    steps: dict[Step, Resources] = Field(
        default={"train": Resources(cpu="8", memory="32Gi", gpu=1, shared_memory="8Gi", timeout_minutes=2880)}
    )

    trainer: Trainer = Trainer()

    @model_validator(mode="after")
    def _paths_are_absolute(self) -> "Cluster":
        for key in ("var", "root"):
            if not getattr(self, key).startswith("/"):
                raise ValueError(f"{key} is a folder inside the image or a volume: it must be absolute")
        return self

    def resources(self, step: str) -> Resources:
        """Return what a step is given: what `steps` says of it, and `every_step` for the rest.

        `check` is given a machine such as `train` has, unless `steps` says otherwise.
        """
        own = self.steps.get(step)  # type: ignore[call-overload]
        if own is None and step == "check":
            train = self.resources("train")
            return self.every_step.model_copy(update={name: getattr(train, name) for name in _MACHINE})
        if own is None:
            return self.every_step
        return self.every_step.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
