"""Patient-safe splits and the image store."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thorax.settings import Data, Preprocess, Split


def build_store(
    data: "Data",
    split: "Split",
    preprocess: "Preprocess",
    manifest_dir: Path,
    root: Path,
    out: Path,
    advance: Callable[[int], None] | None = None,
    prepared: Sequence[Path] = (),
) -> dict[str, Any]:
    """Turn a dataset into an image store; see `thorax.preprocessing.building.build_store`."""
    # Imported late: the spawned processes that decode images pass by here, and need none of pandas and its kin.
    from thorax.preprocessing.building import build_store as build

    return build(data, split, preprocess, manifest_dir, root, out, advance, prepared)
