"""The examples of the page: phantoms that the served bundle carries."""

import os
from dataclasses import dataclass
from pathlib import Path

from serving.pointer import read_pointer
from serving.runtime import VARIABLE, Runtime
from thorax.errors import ThoraxError
from thorax.files import read_json


@dataclass(frozen=True)
class Example:
    """One phantom."""

    path: Path
    title: str


def examples() -> list[Example]:
    """Return the examples of the bundle that is served now; none where it was made from patients' images."""
    if VARIABLE not in os.environ:
        return []
    try:
        pointer = read_pointer(Runtime.read().pointer)
        if pointer is None or pointer.bundle is None:
            return []
        folder = pointer.bundle / "examples"
        entries = read_json(folder / "examples.json") if folder.is_dir() else []
        return [Example(folder / entry["file"], str(entry["title"])) for entry in entries]
    except (ThoraxError, KeyError, TypeError):
        return []
