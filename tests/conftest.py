"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

# Before any numerical library is imported: tests run side by side, and oversubscribed threads crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's own folder."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs: `THORAX_REAL_DATA`, or `shared/data` beside the project; skips without it."""
    folder = Path(os.environ.get("THORAX_REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not (folder / "nih256").is_dir():
        pytest.skip("real radiographs are not at hand")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project folder of one's own, with the default `params.yaml`."""
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path
