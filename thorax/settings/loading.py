"""`params.yaml` into typed, frozen settings; a wrong key or value is refused with its path and what was expected."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError

from thorax.errors import SettingsError, ThoraxError
from thorax.files import digest_json, sqlite_url
from thorax.findings import Definitions
from thorax.proxies import bypass, completed
from thorax.settings.base import Positive, Section, explain
from thorax.settings.cluster import Cluster
from thorax.settings.data import Data, Preprocess, Split, Validation
from thorax.settings.monitoring import Monitor
from thorax.settings.network import Network
from thorax.settings.presets import lay_over, read_preset
from thorax.settings.registry import Registry
from thorax.settings.serving import Serve
from thorax.settings.training import Train
from thorax.settings.trust import Calibration, Evaluation, Select
from thorax.settings.tuning import Tune


class Paths(Section):
    """Where Thorax keeps what it makes; relative paths start at the project's folder."""

    var: Path = Path("var")


class Pipeline(Section):
    """How the steps are run."""

    caching: bool = True
    parallel: Positive = 2
    parts: Positive = 1


class Settings(Section):
    """All settings. `home` is the folder that holds `params.yaml`; relative paths start there."""

    preset: str | None = None
    paths: Paths = Paths()
    data: Data = Data()
    validation: Validation = Validation()
    split: Split = Split()
    preprocess: Preprocess = Preprocess()
    train: Train = Train()
    tune: Tune = Tune()
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    select: Select = Select()
    registry: Registry = Registry()
    serve: Serve = Serve()
    monitor: Monitor = Monitor()
    pipeline: Pipeline = Pipeline()
    cluster: Cluster = Cluster()
    network: Network = Network()
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
        return self.registry.tracking_uri or sqlite_url(self.var / "mlflow.db")

    @property
    def steps_cluster(self) -> Cluster:
        """`cluster`, with the environment of the steps completed so that they reach `network.inside` directly."""
        environment = self.cluster.environment
        return self.cluster.model_copy(
            update={"environment": environment | completed(environment, self.network.inside, self.model_dump_json())}
        )

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


def load(home: Path | str | None = None, overrides: Sequence[str] = (), preset: str | None = None) -> Settings:
    """Read `params.yaml` of a project, and let this process reach `network.inside` without a proxy.

    Args:
        home: the project's folder; found from the working directory where it is not given.
        overrides: `"section.key=value"` each, with the value as YAML; they win over the file and the preset.
        preset: name of a file under `presets/`, which wins over `params.yaml`; None takes the file's own `preset`.

    Raises:
        SettingsError: a file that is missing or not YAML, an unknown preset, a wrong key or value, named by its
            path, or a proxy in the environment that cannot be used.
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
    if preset is not None:
        tree["preset"] = preset
    for override in overrides:
        if override.partition("=")[0].strip() == "preset":
            _apply(tree, override)
    if tree.get("preset") is not None:
        tree = lay_over(tree, {**read_preset(folder, tree["preset"]), "preset": tree["preset"]})
    for override in overrides:
        _apply(tree, override)
    settings = parse(tree, folder, str(file))
    bypass((*settings.network.inside, settings.serve.host), f"{settings.model_dump_json()} {_remotes(folder)}")
    return settings


def _remotes(home: Path) -> str:
    """Return what DVC's configuration of a project says, where its remotes have their addresses."""
    files = [home / ".dvc" / name for name in ("config", "config.local")]
    return " ".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())


def parse(tree: dict[str, Any], home: Path, origin: str = "settings") -> Settings:
    """Check a tree of settings; `origin` names it in errors.

    Raises:
        SettingsError: names every wrong key or value by its path.
    """
    try:
        return Settings.model_validate({**_with_vocabulary(tree, home), "home": home})
    except ValidationError as error:
        lines = [explain(item, Settings) for item in error.errors()]
        raise SettingsError(
            f"{origin} has wrong settings:\n  " + "\n  ".join(lines), "Correct them and run again."
        ) from error
    except ThoraxError as error:
        raise SettingsError(f"{origin}: {error.message}", error.mend) from error


def _with_vocabulary(tree: dict[str, Any], home: Path) -> dict[str, Any]:
    """Put the definitions of the file that `data.vocabulary` names in its place, so that they travel with the run."""
    data = tree.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("vocabulary"), str):
        return tree
    definitions = Definitions.read(home / data["vocabulary"])
    return {**tree, "data": {**data, "vocabulary": definitions.model_dump(mode="json", exclude_defaults=True)}}


def _is_path(keys: Sequence[str]) -> bool:
    """Whether a setting is a file or a folder."""
    kind: Any = Settings
    for key in keys:
        field = getattr(kind, "model_fields", {}).get(key)
        kind = field.annotation if field is not None else None
    return kind is Path or Path in get_args(kind)


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set one `a.b=value` in the tree."""
    path, sign, text = override.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise SettingsError(f"Override {override!r} is not of the form section.key=value.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        if not _is_path(keys):
            raise SettingsError(f"Override {override!r}: the value is not valid YAML.") from error
        value = text
    if _is_path(keys) and value is not None and not text.startswith(("'", '"')):
        value = text  # a folder's name may hold " #", brackets or only digits
    branch = tree
    for key in keys[:-1]:
        below = branch.setdefault(key, {})
        if not isinstance(below, dict):
            raise SettingsError(f"Override {override!r}: {key} holds a value, not a section.")
        branch = below
    branch[keys[-1]] = value
