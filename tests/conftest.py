"""Fixtures that every test may use."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from thorax.proxies import bypass
from thorax.settings import Settings, load

# Before any numerical library is imported: tests run side by side, and oversubscribed threads crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tables are as wide as a console was when it was made; narrow ones would break the words that tests look for.
os.environ["COLUMNS"] = "200"

# A hospital's proxy, which refuses everything: no test may depend on what is outside. The tests' own requests to their
# own servers bypass it; what a test starts as a user does (`OwnProject`) has to see to that for itself.
for name in ("http_proxy", "https_proxy", "all_proxy"):
    os.environ[name] = os.environ[name.upper()] = "http://127.0.0.1:9"
bypass()

PROJECT = Path(__file__).resolve().parent.parent


#: Seconds that a test may be thought to take, where no longer timeout says so.
_SLOW, _FAST = 10, 0.2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: begun last, one would keep one worker busy while the others are idle."""

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        if marker is not None:
            return float(marker.args[0])
        return _SLOW if item.get_closest_marker("slow") else _FAST

    total: dict[Path, float] = {}
    for item in items:
        total[item.path] = total.get(item.path, 0.0) + seconds(item)
    items.sort(key=lambda item: -total[item.path])  # stable: within a file the order stays


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's own folder."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs, where there is one; skips without it."""
    from commands.bench.parts import real_data as find

    folder = find()
    if folder is None:
        pytest.skip("real radiographs are not at hand")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project folder of one's own, with the default `params.yaml`."""
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Settings], None]:
    """A function that gives a project MLflow's database without the seconds of making one."""
    from thorax.registry import tracking

    origin = load(PROJECT, [f"paths.var={tmp_path_factory.mktemp('mlflow')}"])
    tracking.initialise(origin)

    def install(settings: Settings) -> None:
        settings.var.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin.var / "mlflow.db", settings.var / "mlflow.db")
        with closing(sqlite3.connect(settings.var / "mlflow.db")) as database, database:
            place = (settings.var / "mlartifacts").as_uri()
            database.execute("UPDATE experiments SET artifact_location = ?", [place])

    return install


@pytest.fixture(scope="session")
def sample_steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the steps before the bundle leave, of a tiny network: the arguments of `write_bundle`."""
    from bundle_factory import write_steps

    return write_steps(tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="session")
def sample_bundle(sample_steps: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle of a tiny network; copy it before changing it."""
    from thorax.bundle import write_bundle

    return write_bundle(tmp_path_factory.mktemp("bundles") / "one", lineage={"git": "0" * 40}, **sample_steps)


@pytest.fixture(scope="session")
def registry_template(
    sample_steps: dict[str, Path],
    sample_bundle: Path,
    mlflow_template: Callable[[Settings], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """A project whose registry holds four versions; see `registry_factory`."""
    from registry_factory import MEANS, add

    from thorax.registry.evidence import collect

    folder = tmp_path_factory.mktemp("registry")
    settings = load(PROJECT, [f"paths.var={folder / 'var'}", "evaluation.bootstrap=100"])
    mlflow_template(settings)
    evidence = collect(sample_steps["train_dir"], sample_steps["calibration_dir"], sample_steps["store_dir"])
    evaluation = json.loads((sample_bundle / "evaluation.json").read_text())
    for number, mean in enumerate(MEANS, start=1):
        add(settings, sample_bundle, evaluation, evidence, folder, number, mean)
    return settings


@pytest.fixture
def with_registry(home: Path, registry_template: Settings) -> Settings:
    """Settings of a project of one's own, whose registry holds four versions: 1 is champion, 4 did not pass."""
    from registry_factory import clone

    settings = load(home, ["evaluation.bootstrap=100"])
    clone(registry_template, settings)
    return settings
