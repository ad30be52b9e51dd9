"""What a process does: render a block of cases, and keep what rendering told in the block's journal."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thorax.datasets.phantom.layouts import Layout, Record, make_layout
from thorax.datasets.phantom.population import Case
from thorax.datasets.phantom.recipe import Recipe
from thorax.datasets.phantom.render import Phantom, render, twin
from thorax.files import room_errors

#: Cases a block.
BLOCK = 8

#: The folder of the journals; gone when the dataset is whole.
JOURNALS = ".journal"


def journal_path(folder: Path, index: int) -> Path:
    """Return the journal of the block that holds the case at `index`."""
    return folder / JOURNALS / f"{index // BLOCK:06d}.jsonl"


def read_journal(path: Path) -> dict[int, Record]:
    """Return index to record; a last line that an interruption cut short does not count."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    records = {}
    for line in lines:
        if line.endswith("\n"):
            entry = json.loads(line)
            boxes = {finding: tuple(box) for finding, box in entry["boxes"].items()}
            records[entry["index"]] = Record(boxes, entry["cardiothoracic_ratio"])
    return records


def is_made(layout: Layout, folder: Path, case: Case) -> bool:
    """Whether a case's image is there, and its twin where twins are wanted."""
    if not (folder / layout.path(case)).exists():
        return False
    return not layout.recipe.twins or (folder / twin_path(layout, case)).exists()


def twin_path(layout: Layout, case: Case) -> str:
    """Return where the same subject in health lies: the image's path, below `twins/`."""
    return f"twins/{layout.path(case)}"


def mask_path(layout: Layout, case: Case, finding: str) -> str:
    """Return where a finding's mask lies: the image's path below `masks/` as a folder, with a file a finding."""
    return f"masks/{layout.path(case).removesuffix(layout.suffix)}/{finding}.png"


def make_block(recipe: Recipe, folder: Path, block: Sequence[Case], journal: bool = True) -> int:
    """Make the images of a block that are not there yet, and return how many it made.

    Masks and twin are in place before the journal's line of a case is written, and the line before the image is: an
    image that is there has all that belongs to it.

    Args:
        recipe: of the dataset.
        folder: of the dataset.
        block: cases of one journal, in order.
        journal: write the journal; False when the tables are there already and only files were lost.

    Raises:
        RoomError: the disk is full.
    """
    import cv2

    cv2.setNumThreads(1)  # a process a core: threads of their own would only wait for each other
    layout = make_layout(recipe)
    path = journal_path(folder, block[0].index)
    known = read_journal(path) if journal else {}
    lacking = [case for case in block if (journal and case.index not in known) or not is_made(layout, folder, case)]
    if journal and lacking:
        _mend(path)
    for case in lacking:
        phantom = render(case.subject, recipe.size)
        _write_companions(layout, folder, case, phantom)
        with room_errors(folder):
            if journal and case.index not in known:
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(_line(case.index, phantom))
            _write_image(layout, folder / layout.path(case), case, phantom)
    return len(lacking)


def _mend(path: Path) -> None:
    """Cut off a line that was left half written, so that the next one starts on its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)


def _line(index: int, phantom: Phantom) -> str:
    boxes = {finding: [round(float(side), 6) for side in box] for finding, box in phantom.boxes.items()}
    ratio = round(float(phantom.cardiothoracic_ratio), 4)
    return json.dumps({"index": index, "boxes": boxes, "cardiothoracic_ratio": ratio}) + "\n"


def _write_companions(layout: Layout, folder: Path, case: Case, phantom: Phantom) -> None:
    with room_errors(folder):
        if layout.recipe.masks:
            for finding, mask in phantom.masks.items():
                _write_mask(folder / mask_path(layout, case, finding), mask)
        if layout.recipe.twins:
            healthy = render(twin(case.subject), layout.recipe.size)
            _write_image(layout, folder / twin_path(layout, case), case, healthy)


def _write_image(layout: Layout, path: Path, case: Case, phantom: Phantom) -> None:
    temporary = _beside(path)
    layout.write_image(temporary, case, phantom.pixels, phantom.image8)
    temporary.replace(path)


def _write_mask(path: Path, mask: np.ndarray) -> None:
    from PIL import Image

    temporary = _beside(path)
    Image.fromarray(mask).convert("1").save(temporary, format="PNG")
    temporary.replace(path)


def _beside(path: Path) -> Path:
    """Return a temporary path that moves into place in one step.

    Unlike `thorax.files.atomic_path` nothing is flushed to disk: a flush an image costs more than rendering it, and a
    machine that loses power leaves at worst images to be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
