"""MLflow's own pages on the project's runs and models."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from thorax.registry.tracking import artifacts, initialise, quiet_mlflow
from thorax.settings import Settings


def needs_server(settings: Settings) -> bool:
    """Whether the project keeps its own SQLite; a configured server has pages already."""
    return settings.tracking_uri.startswith("sqlite")


def become_server(settings: Settings, port: int) -> NoReturn:
    """Turn this process into MLflow's server on loopback, so that it ends as this command would.

    Raises:
        RegistryError: the database cannot be used.
    """
    initialise(settings)
    quiet_mlflow()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", settings.tracking_uri, "--default-artifact-root", artifacts(settings).as_uri()]
    # Without its job runner MLflow starts two processes in place of ten, in a third of the time.
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent / "startup"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONPATH": path}
    os.execve(sys.executable, [*command, *places], environment)  # noqa: S606
