"""What would stop a run hours later, looked for where the run will be, before anything long begins."""

from collections.abc import Callable
from pathlib import Path

from thorax.datasets import arrival
from thorax.datasets.arrival import Consignment
from thorax.errors import InputError, RegistryError, ThoraxError
from thorax.files import require_room
from thorax.preprocessing.prepare import prepared_folder, room
from thorax.settings import Settings

#: Seconds to wait for an answer.
_PATIENCE = 15.0


def examine(*looks: Callable[[], None]) -> None:
    """Look at everything, so that one try finds all that has to be mended.

    Raises:
        ThoraxError: the one refusal; InputError: all of them, where there are several.
    """
    refusals = []
    for look in looks:
        try:
            look()
        except ThoraxError as refusal:
            refusals.append(refusal)
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        told = "\n  ".join(str(refusal) for refusal in refusals)
        raise InputError(f"{len(refusals)} things would stop this run:\n  {told}", "Mend them, and begin again.")


def require_data(wanted: Consignment, root: Path, settings: Settings) -> None:
    """See that a data revision is here or can be fetched, and that there is room for it and for what is made of it.

    Args:
        wanted: the revision, and where it is to be had.
        root: where the data may lie already.
        settings: `paths` and `preprocess`.

    Raises:
        InputError: the revision can be had from nowhere.
        RoomError: the volume is too small.
    """
    made = [file.stat().st_size for file in prepared_folder(settings).glob("*.npy")]
    needed = max(0, room(wanted.files, settings.preprocess) - sum(made))
    if arrival.here(root, wanted.revision, settings.var) is None:
        arrival.require_fetchable(wanted, root, settings.var)
        needed += wanted.size
    require_room(settings.var, needed)


def require_mlflow(address: str) -> None:
    """See that MLflow's server answers from here; a database that is a file is made when it is first needed.

    Raises:
        RegistryError: it does not.
    """
    if not address.startswith("http"):
        return
    import httpx

    try:
        httpx.get(f"{address.rstrip('/')}/health", timeout=_PATIENCE)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise RegistryError(
            f"MLflow at {address} cannot be reached from here: {error}",
            "Is registry.tracking_uri the address as this machine sees it, and does a network policy let it through?",
        ) from error


def require_gpus(count: int) -> None:
    """See that PyTorch finds the GPUs that this machine was asked to have.

    Raises:
        InputError: it finds fewer.
    """
    if not count:
        return
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < count:
        raise InputError(
            f"cluster.steps.train.gpu asks for {count}, and PyTorch sees {found or 'no'} GPU here.",
            "Is cluster.image the variant with CUDA, and has the node a GPU and its driver (node_selector, "
            "tolerations)? To train without, set cluster.steps.train.gpu to 0.",
        )
