"""The one place where settings are read: `params.yaml` into typed, frozen objects.

A wrong key or value is refused with its path in the file and what was expected, before anything runs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from thorax import findings as vocabulary
from thorax.errors import SettingsError, ThoraxError, nearest
from thorax.files import digest_json

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Uncertainty = Literal["zeros", "ones", "ignore", "smooth_ones", "smooth_zeros"]
Architecture = Literal["custom_cnn", "densenet121", "resnet50", "efficientnet_b0", "inception_v3", "convnext_tiny"]


def _resolve_findings(value: Any) -> Any:
    if isinstance(value, (str, list, tuple)):
        return vocabulary.resolve(value)
    return value


class Section(BaseModel):
    """A frozen part of the settings that knows no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Paths(Section):
    """Where Thorax keeps what it makes; relative paths start at the project's folder."""

    var: Path = Path("var")


class UncertainPolicy(Section):
    """What a label of −1 counts as, a finding, and the ranges of the smoothed targets (Pham et al. 2021)."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Uncertainty] = Field(init=False)

    default: Uncertainty = "zeros"
    smooth_ones: tuple[Share, Share] = (0.55, 0.85)
    smooth_zeros: tuple[Share, Share] = (0.0, 0.3)

    @model_validator(mode="after")
    def _findings_are_known(self) -> "UncertainPolicy":
        for name in self.__pydantic_extra__:
            vocabulary.resolve([name])
        return self

    def of(self, finding: str) -> Uncertainty:
        """Return the policy of one finding."""
        named = {vocabulary.canonical(name): policy for name, policy in self.__pydantic_extra__.items()}
        return named.get(finding, self.default)


class TableColumns(Section):
    """Which column of a table of one's own holds what; the table lies in the data root."""

    file: str = "table.csv"
    image: str = "path"
    patient: str = "patient_id"
    study: str | None = None
    view: str | None = None
    age: str | None = None
    sex: str | None = None
    findings: dict[str, str] = {}


class PhantomDefaults(Section):
    """What `thorax data make-phantom` makes where no option says otherwise."""

    count: Positive = 2400
    size: Annotated[int, Field(ge=32, le=4096)] = 128
    seed: Count = 41


class Data(Section):
    """The dataset, its findings, and how its labels are read."""

    source: Literal["phantom", "nih", "chexpert", "table"] = "phantom"
    root: Path = Path("data")
    findings: Annotated[tuple[str, ...], BeforeValidator(_resolve_findings)] = vocabulary.CHEXPERT_REPORT
    no_finding: Literal["exclude", "class", "filter"] = "exclude"
    other_finding: Literal["exclude", "class"] = "exclude"
    views: Literal["frontal", "all"] = "frontal"
    not_mentioned: Literal["zeros", "ignore"] = "zeros"
    uncertain: UncertainPolicy = UncertainPolicy()
    table: TableColumns = TableColumns()
    phantom: PhantomDefaults = PhantomDefaults()

    @property
    def classes(self) -> tuple[str, ...]:
        """The findings that a network learns, in the order of its outputs."""
        extra: tuple[str, ...] = (vocabulary.NO_FINDING,) if self.no_finding == "class" else ()
        extra += (vocabulary.OTHER_FINDING,) if self.other_finding == "class" else ()
        return tuple(dict.fromkeys((*self.findings, *extra)))


#: Expectations that stop a run; what each expects is listed by `thorax data validate --list`.
CRITICAL = (
    "columns_complete",
    "table_not_empty",
    "image_ids_present",
    "image_ids_unique",
    "patients_present",
    "paths_unique",
    "paths_inside",
    "views_known",
    "sexes_known",
    "ages_mostly_in_range",
    "labels_known",
    "labels_mostly_consistent",
    "findings_published",
    "positives_enough",
    "negatives_enough",
    "patients_enough",
    "patients_in_one_split",
    "looks_in_one_split",
    "files_mostly_readable",
    "files_unchanged",
    "pictures_mostly_sound",
    "boxes_mostly_inside",
    "boxes_mostly_labelled",
    "boxes_of_findings",
    "boxes_spread",
)


class Validation(Section):
    """Bounds of the data gate, and which expectations stop a run."""

    prevalence_floor: Share = 0.002
    min_positives: Count = 5
    min_patients: Count = 3
    age: tuple[float, float] = (0, 120)
    max_age_span: Annotated[float, Field(ge=0)] = 20
    max_faulty_share: Share = 0.02
    max_uncertain_share: Share = 0.5
    max_missing_share: Share = 0.95
    max_unreadable_share: Share = 0.01
    max_unsound_share: Share = 0.2
    near_bits: Annotated[int, Field(ge=0, le=31)] = 24
    reference: Path | None = None
    max_prevalence_change: Annotated[float, Field(ge=1)] = 3.0
    critical: tuple[str, ...] = CRITICAL
    warn_only: tuple[str, ...] = ()


class Split(Section):
    """Shares of the patients a split."""

    method: Literal["stratified", "official"] = "stratified"
    train: Share = 0.60
    validation: Share = 0.12
    calibration: Share = 0.13
    test: Share = 0.15
    seed: Count = 11

    @model_validator(mode="after")
    def _whole(self) -> "Split":
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of train, validation, calibration and test must add up to 1, not {total:g}")
        return self


class Preprocess(Section):
    """How an image becomes what the network reads."""

    size: Annotated[int, Field(ge=32, le=2048)] = 96
    resize: Literal["squash", "pad"] = "squash"
    clahe: bool = False
    shard_rows: Positive = 4096
    workers: Count = 0


class Augment(Section):
    """Random changes of a training batch."""

    rotate: Annotated[float, Field(ge=0, le=45)] = 10.0
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    brightness: Share = 0.1
    contrast: Share = 0.1
    noise: Share = 0.0
    flip: bool = False


class Train(Section):
    """Architectures and the recipe that trains each of them."""

    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = (
        "resnet50",
        "efficientnet_b0",
        "custom_cnn",
    )
    pretrained: str = "none"
    unfreeze: str = "all"
    stride: Positive | None = None
    loss: Literal["bce", "weighted_bce", "focal", "asymmetric"] = "focal"
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warmup_epochs: Count = 1
    epochs: Positive = 14
    batch_size: Annotated[int, Field(ge=2)] = 16
    patience: Positive = 6
    gradient_clip: Annotated[float, Field(ge=0)] = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    augment: Augment = Augment()
    epoch_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Count = 23
    deterministic: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count = 0
    overrides: dict[Architecture, dict[str, Any]] = {
        "custom_cnn": {"epochs": 12, "learning_rate": 0.003},
        "efficientnet_b0": {"epochs": 4},
        "resnet50": {"epochs": 2, "learning_rate": 0.001},
    }

    @model_validator(mode="after")
    def _overrides_hold(self) -> "Train":
        for architecture in self.overrides:
            self.of(architecture)
        return self

    def of(self, architecture: str) -> "Train":
        """Return the recipe of one architecture: these settings with its overrides, and no overrides left.

        Raises:
            ValueError: an override with a wrong key or value, named by its path.
        """
        changes = dict(self.overrides.get(architecture, {}))  # type: ignore[call-overload]
        for key in {"architectures", "overrides"} & changes.keys():
            raise ValueError(f"overrides.{architecture}.{key}: not a setting that one architecture can take otherwise")
        base = self.model_dump(exclude={"overrides"})
        if isinstance(changes.get("augment"), dict):
            changes["augment"] = base["augment"] | changes["augment"]
        try:
            return Train.model_validate(base | changes | {"overrides": {}})
        except ValidationError as error:
            lines = [_explain({**item, "loc": ("train", *item["loc"])}) for item in error.errors()]
            named = [line.replace("train.", f"overrides.{architecture}.", 1) for line in lines]
            raise ValueError("; ".join(named)) from error


class Calibration(Section):
    """Calibrators, operating points, conformal answers, the out-of-distribution cut-off, and when to ask a reader."""

    method: Literal["auto", "none", "temperature", "temperature_each", "platt", "beta", "isotonic"] = "auto"
    folds: Annotated[int, Field(ge=2)] = 5
    min_positives: Positive = 8
    operating_point: Literal["sensitivity", "specificity", "youden", "f1", "fbeta", "cost"] = "sensitivity"
    target: Annotated[float, Field(gt=0, lt=1)] = 0.90
    fbeta: Annotated[float, Field(gt=0)] = 2.0
    cost_ratio: Annotated[float, Field(gt=0)] = 5.0
    conformal_alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.10
    conformal_by_view: bool = False
    ood_kind: Literal["mahalanobis", "relative", "knn"] = "mahalanobis"
    ood_quantile: Annotated[float, Field(gt=0.5, lt=1)] = 0.98
    refer_when: tuple[Literal["ood", "conformal", "entropy"], ...] = ("ood", "entropy")
    refer_entropy: Share = 0.95


class Evaluation(Section):
    """How the test split is reported."""

    bootstrap: Annotated[int, Field(ge=10)] = 1000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    ece_bins: Annotated[int, Field(ge=2)] = 15
    min_group: Positive = 20
    max_gap: Share = 0.15
    seed: Count = 31


class Select(Section):
    """What makes one candidate better than another."""

    metric: Literal["auroc", "auprc", "f1"] = "auroc"


class Gates(Section):
    """What a model must show before it may be promoted."""

    min_mean_auroc: Share = 0.60
    min_auroc: Share = 0.50
    max_ece: Share = 0.15
    min_sensitivity: Share = 0.50
    conformal_slack: Share = 0.10
    max_bundle_mib: Annotated[float, Field(gt=0)] = 1024.0
    max_latency_ms: Annotated[float, Field(gt=0)] = 3000.0
    challenger_rule: Literal["not_worse", "better"] = "not_worse"
    challenger_margin: Share = 0.01


class Registry(Section):
    """MLflow: where runs and models are kept."""

    name: str = "thorax"
    tracking_uri: str | None = None
    experiment: str = "thorax"
    gates: Gates = Gates()


class Serve(Section):
    """The prediction service."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    workers: Positive = 1
    threads: Count = 0
    max_upload_mib: Positive = 32
    max_pixels: Positive = 50_000_000
    poll_seconds: Annotated[float, Field(gt=0)] = 2.0


class Monitor(Section):
    """Drift reports."""

    min_rows: Positive = 300
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    resamples: Annotated[int, Field(ge=50)] = 400


class Pipeline(Section):
    """How the steps are run."""

    caching: bool = True
    parallel: Positive = 2


class Settings(Section):
    """All settings. `home` is the folder that holds `params.yaml`; relative paths start there."""

    paths: Paths = Paths()
    data: Data = Data()
    validation: Validation = Validation()
    split: Split = Split()
    preprocess: Preprocess = Preprocess()
    train: Train = Train()
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    select: Select = Select()
    registry: Registry = Registry()
    serve: Serve = Serve()
    monitor: Monitor = Monitor()
    pipeline: Pipeline = Pipeline()
    home: Path = Field(default=Path(), exclude=True)

    def at_home(self, path: Path | str) -> Path:
        """Return `path` as it stands if absolute, else below the project's folder."""
        return (self.home / path).absolute()

    @property
    def var(self) -> Path:
        """The folder for everything that Thorax makes."""
        return self.at_home(self.paths.var)

    @property
    def data_root(self) -> Path:
        """The dataset's folder."""
        return self.at_home(self.data.root)

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the configured server, or SQLite under `var`."""
        return self.registry.tracking_uri or f"sqlite:///{self.var / 'mlflow.db'}"

    def digest(self) -> str:
        """SHA-256 of all settings, without the place where they were read."""
        return digest_json(self.model_dump(mode="json"))


def find_home(start: Path | None = None) -> Path:
    """Return the folder that holds `params.yaml`: `THORAX_HOME`, or the nearest one at or above `start`.

    Raises:
        SettingsError: there is none.
    """
    named = os.environ.get("THORAX_HOME")
    if named:
        return Path(named).absolute()
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise SettingsError(
        f"No params.yaml in {here} or above it.",
        "Run the command inside the project, or set THORAX_HOME to its folder.",
    )


def load(home: Path | str | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Read `params.yaml` of a project.

    Args:
        home: the project's folder; found from the working directory where it is not given.
        overrides: `"section.key=value"` each, with the value as YAML; they win over the file.

    Raises:
        SettingsError: a file that is missing or not YAML, or a wrong key or value, named by its path.
    """
    folder = Path(home).absolute() if home is not None else find_home()
    file = folder / "params.yaml"
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise SettingsError(f"{file} does not exist.", "Run the command inside the project.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{file} must hold sections, such as `data:`; it holds {type(tree).__name__}.")
    for override in overrides:
        _apply(tree, override)
    return parse(tree, folder, str(file))


def parse(tree: dict[str, Any], home: Path, origin: str = "settings") -> Settings:
    """Check a tree of settings; `origin` names it in errors.

    Raises:
        SettingsError: names every wrong key or value by its path.
    """
    try:
        return Settings.model_validate({**tree, "home": home})
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise SettingsError(
            f"{origin} has wrong settings:\n  " + "\n  ".join(lines), "Correct them and run again."
        ) from error
    except ThoraxError as error:
        raise SettingsError(f"{origin}: {error.message}", error.mend) from error


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set one `a.b=value` in the tree."""
    path, sign, text = override.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise SettingsError(f"Override {override!r} is not of the form section.key=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"Override {override!r}: the value is not valid YAML.") from error
    branch = tree
    for key in keys[:-1]:
        below = branch.setdefault(key, {})
        if not isinstance(below, dict):
            raise SettingsError(f"Override {override!r}: {key} holds a value, not a section.")
        branch = below
    branch[keys[-1]] = value


def _explain(item: Any) -> str:
    """One line for one validation error: the path, what is wrong, what was expected."""
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{path}: unknown key. {nearest(str(item['loc'][-1]), _keys(item['loc'][:-1]))}"
    if isinstance(item["input"], dict):
        return f"{path}: {item['msg'].removeprefix('Value error, ')}"
    return f"{path}: {item['msg']} (found {item['input']!r})"


def _keys(path: Sequence[Any]) -> list[str]:
    """The keys that are known under a path."""
    section: Any = Settings
    for part in path:
        field = section.model_fields.get(part) if hasattr(section, "model_fields") else None
        section = field.annotation if field is not None else None
    return [name for name in getattr(section, "model_fields", {}) if name != "home"]
