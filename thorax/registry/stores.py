"""The image stores that pipeline runs left on this machine, found by the split that they hold."""

from pathlib import Path

from thorax.errors import InputError
from thorax.files import read_json
from thorax.settings import Settings


def find_store(settings: Settings, split_digest: str, preferred: Path | None = None) -> Path | None:
    """Return the newest store of a split, or None where this machine has none.

    Args:
        settings: whose `var` is searched.
        split_digest: as it stands in a version's lineage.
        preferred: the only folder to look at, where a person named one.

    Raises:
        InputError: the folder that was named is no store, or of another split.
    """
    if preferred is not None:
        if _split(preferred) != split_digest:
            raise InputError(
                f"{preferred} is not the image store of these versions: its split differs, or it is none.",
                "Name the store that they were trained on, or leave --store out.",
            )
        return preferred
    places = sorted(settings.var.glob("steps/**/store.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    return next((file.parent for file in places if split_digest and _split(file.parent) == split_digest), None)


def _split(folder: Path) -> str:
    try:
        return str(read_json(folder / "store.json").get("split_digest", ""))
    except (InputError, AttributeError):
        return ""
