"""The image store of a dataset and its settings, built once, for commands that train without the pipeline."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.console import progress

if TYPE_CHECKING:
    from thorax.settings import Settings


def built_store(settings: "Settings", findings: str | None = None) -> tuple[Path, dict[str, Any]]:
    """Build the image store of the configured dataset, or find it where the same one was built before.

    Args:
        settings: all settings.
        findings: to learn, in place of `data.findings`.

    Returns:
        Its folder, under `<var>/stores`, and what its `store.json` holds.
    """
    from thorax.datasets.ingest import ingest
    from thorax.files import digest_json
    from thorax.preprocessing import build_store
    from thorax.settings import Data

    data = settings.data
    if findings is not None:
        data = Data.model_validate({**data.model_dump(), "findings": findings})
    recipe = settings.preprocess.model_dump(mode="json", exclude={"workers"})
    basis = {
        "data": data.model_dump(mode="json"),
        "split": settings.split.model_dump(mode="json"),
        "preprocess": recipe,
    }
    place = settings.var / "stores" / digest_json(basis)[:16]
    with progress("Reading images", None) as advance:
        ingest(data, settings.data_root, place / "manifest", advance=advance)
        info = build_store(
            data, settings.split, settings.preprocess, place / "manifest", settings.data_root, place / "store", advance
        )
    return place / "store", info
