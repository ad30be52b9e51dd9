"""From the registry to a folder: a version's bundle, fetched once, checked, and never changed again."""

import shutil
import uuid
from pathlib import Path

from thorax.bundle import identity
from thorax.bundle.verify import read_info, verify_files
from thorax.errors import BundleError, RegistryError
from thorax.files import room_errors
from thorax.registry.tracking import client, quiet_mlflow, speaking
from thorax.registry.versions import BUNDLE_PATH, CHAMPION, Version, resolve
from thorax.settings import Settings


def fetch(settings: Settings, which: str = CHAMPION) -> Path:
    """Return the folder that holds the bundle of a version, fetched from the registry where it is not here yet.

    Args:
        settings: where the registry is, and where bundles are kept (`<var>/bundles/<digest>`).
        which: an alias or a version's number.

    Raises:
        RegistryError: no such version, or the registry cannot be reached.
        BundleError: what the registry holds is not what was registered.
    """
    return fetch_version(settings, resolve(settings, which))


def fetch_version(settings: Settings, version: Version) -> Path:
    """Do what `fetch` does for a version that is already resolved."""
    if not version.bundle_digest:
        raise RegistryError(
            f"Version {version.version} of {version.name} was not registered by Thorax: it has no bundle.",
            "Register a model with the training pipeline.",
        )
    folder = settings.var / "bundles" / version.bundle_digest
    if folder.is_dir():
        try:
            verify_version(folder, version)
        except BundleError:
            # A damaged copy is made anew from the registry.
            _remove(folder)
        else:
            return folder
    temporary = folder.with_name(f".{folder.name[:16]}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.mkdir(parents=True)
    try:
        with room_errors(folder):
            bundle = download(settings, version, version.tags[BUNDLE_PATH], temporary)
        verify_version(bundle, version)
        for path in bundle.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            bundle.replace(folder)
        except OSError:
            # Another process was first; its copy has the same content.
            if not folder.is_dir():
                raise
    finally:
        _remove(temporary)
    return folder


def download(settings: Settings, version: Version, path: str, into: Path) -> Path:
    """Fetch one file or folder of a version's artifact, such as `data/bundle` or `evidence.npz`.

    Raises:
        RegistryError: it is gone, or cannot be fetched.
    """
    quiet_mlflow()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    connection = client(settings)
    with speaking(settings):
        root = connection.get_model_version_download_uri(version.name, version.version)
        try:
            found = download_artifacts(
                artifact_uri=f"{root.rstrip('/')}/{path}", dst_path=str(into), tracking_uri=settings.tracking_uri
            )
        except (OSError, MlflowException) as error:
            first = str(error).strip().splitlines()[0]
            raise RegistryError(
                f"The artifact {path} of version {version.version} cannot be fetched: {first}",
                "It may have been deleted; promote another version, or register the model anew.",
            ) from error
    return Path(found)


def verify_version(folder: Path, version: Version) -> None:
    """Check that a folder is the very bundle that was registered, to the byte.

    Raises:
        BundleError: it is not.
    """
    info = read_info(folder)
    if identity(info) != version.bundle_digest:
        raise BundleError(
            f"The bundle of version {version.version} is not the one that was registered: its digest differs.",
            "Promote another version, or register the model anew.",
        )
    verify_files(folder, info["digests"])


def _remove(folder: Path) -> None:
    """Remove a folder whose files are read-only."""
    if folder.is_dir():
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
