"""The way to MLflow: its address, its set-up before any fan-out, and its errors in words a person can use."""

import json
import logging
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from thorax.errors import RegistryError, ThoraxError
from thorax.files import sqlite_file, sqlite_url, write_json
from thorax.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MARKER = "mlflow-ready.json"
#: So that MLflow's pages open on training runs, not on traces of language models.
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Pipeline runs, with a run an architecture below; drift reports; searches; ensembles.",
}
_SIGN_IN = (
    "Sign in as somebody with the right (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD), "
    "or ask the server's administrator for it."
)
#: Seconds to wait for another process that holds a lock; every holder needs well under a second, setting up a few.
_PATIENCE = 120.0


def quiet_mlflow() -> None:
    """Make MLflow silent and patient only for so long; call before its first import."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Three tries over about seven seconds, in place of MLflow's seven tries over four minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    escape_installation()


@cache
def escape_installation() -> None:
    """Let MLflow migrate its database where the path of its own package holds a "%", which Alembic interpolates."""
    found = find_spec("mlflow")
    if found is None or "%" not in str(found.origin):
        return
    from mlflow.store.db import utils

    folder = utils._get_package_dir()
    utils._get_package_dir = lambda: folder.replace("%", "%%")


@contextmanager
def locked(settings: Settings, name: str = "registry") -> Iterator[None]:
    """Hold one of this installation's locks.

    Raises:
        RegistryError: another process has held it for two minutes.
    """
    from filelock import FileLock, Timeout

    path = settings.var / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise RegistryError(
            f"Another process has held {path} for {_PATIENCE:.0f} seconds.",
            "Wait for it to end, or end it; the lock goes with its process.",
        ) from error


@contextmanager
def speaking(settings: Settings) -> Iterator[None]:
    """Turn what MLflow, its database and the network raise into a RegistryError that names the address."""
    try:
        yield
    except ThoraxError:
        raise
    except Exception as error:
        if not _is_registry_failure(error):
            raise
        if (refusal := refused(error)) is not None:
            raise RegistryError(f"MLflow at {settings.tracking_uri} {refusal}.", _SIGN_IN) from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RegistryError(
            f"MLflow at {settings.tracking_uri} answered: {first}",
            "Check registry.tracking_uri and that the server runs; `thorax models audit` tells what state it is in.",
        ) from error


def refused(error: Exception) -> str | None:
    """Say in words how a server refused a request for who made it; None where the error is another."""
    from thorax.registry.history import user

    code = getattr(error, "error_code", "")
    if code == "PERMISSION_DENIED":
        return f"refuses: {user()} does not have the right to do this"
    if code == "UNAUTHENTICATED" or "error code 401" in str(error):
        return f"does not let {user()} in: name and password do not match, or there are none"
    return None


def _is_registry_failure(error: Exception) -> bool:
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(roots & {"mlflow", "sqlalchemy", "requests", "urllib3", "alembic"}) or isinstance(error, sqlite3.Error)


def client(settings: Settings) -> "MlflowClient":
    """Return a client of the configured MLflow, set up first where it is SQLite of one's own.

    Raises:
        RegistryError: it cannot be reached.
    """
    initialise(settings)
    quiet_mlflow()
    from mlflow import MlflowClient

    with speaking(settings):
        return MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)


def initialise(settings: Settings) -> str:
    """Make the tracking database and the experiment, once; return the experiment's id.

    Several processes may call it at once: one works, the others wait. A database appears whole or not at all.
    When nothing is to be done it reads one small file and does not import MLflow.

    Raises:
        RegistryError: the database or the server cannot be used.
    """
    known = _ready(settings)
    if known is not None:
        return known
    with locked(settings, "mlflow"), speaking(settings):
        known = _ready(settings)
        if known is not None:
            return known
        quiet_mlflow()
        database = _database(settings)
        if database is not None and not database.exists():
            _create_database(settings, database)
        from mlflow import MlflowClient

        connection = MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)
        experiment = _experiment(settings, connection)
        write_json(settings.var / _MARKER, _state(settings) | {"experiment_id": experiment})
        return experiment


def artifacts(settings: Settings) -> Path:
    """Return the folder of run artifacts where MLflow is SQLite of one's own; a server has a place of its own."""
    return settings.var / "mlartifacts"


def _experiment(settings: Settings, connection: "MlflowClient") -> str:
    name = settings.registry.experiment
    found = connection.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            raise RegistryError(
                f"The MLflow experiment {name!r} was deleted.", "Restore it in MLflow, or name another under registry."
            )
        return str(found.experiment_id)
    location = artifacts(settings).as_uri() if _database(settings) is not None else None
    try:
        return str(connection.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))
    except Exception:
        # On a shared server another machine may have been first.
        found = connection.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _create_database(settings: Settings, database: Path) -> None:
    """Migrate an empty SQLite file under a temporary name and move it into place."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    temporary = database.with_name(f".{database.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        store = SqlAlchemyStore(sqlite_url(temporary), artifacts(settings).as_uri())
        store.engine.dispose()
        temporary.replace(database)
    finally:
        temporary.unlink(missing_ok=True)


def _database(settings: Settings) -> Path | None:
    """The SQLite file behind the address, or None where the address is something else."""
    return sqlite_file(settings.tracking_uri)


def _state(settings: Settings) -> dict[str, str]:
    """What the marker must say for the set-up to hold; a database that was replaced has another inode."""
    database = _database(settings)
    inode = str(database.stat().st_ino) if database is not None and database.exists() else ""
    return {"uri": settings.tracking_uri, "experiment": settings.registry.experiment, "inode": inode}


def _ready(settings: Settings) -> str | None:
    try:
        marker = json.loads((settings.var / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    database = _database(settings)
    if database is not None and not database.exists():
        return None
    expected = _state(settings)
    if not isinstance(marker, dict) or {key: marker.get(key) for key in expected} != expected:
        return None
    return str(marker["experiment_id"])
