"""Making a phantom dataset: in parallel, in flat memory, so that it can be interrupted and continued."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from thorax.datasets.phantom.layouts import SYNTHETIC, Layout, Record, make_layout
from thorax.datasets.phantom.population import Case, cases
from thorax.datasets.phantom.recipe import Recipe, make_recipe
from thorax.datasets.phantom.truth import TRUTH, truth_writer
from thorax.datasets.phantom.worker import BLOCK, JOURNALS, journal_path, make_block, read_journal
from thorax.errors import InputError
from thorax.files import read_json, require_room, write_json
from thorax.workers import ordered_map

#: Changes whenever the same recipe gives other images.
GENERATOR = "1"

ABOUT = "phantom.json"

#: Pixels in all, below which one process is done before others have started.
_WORTH_A_POOL = 2_000_000


def make_phantom(
    out: Path | str, workers: int = 0, advance: Callable[..., None] | None = None, **arguments: Any
) -> dict[str, Any]:
    """Make a phantom dataset, or continue one that was interrupted.

    The same arguments give the same bytes, whatever the number of workers.

    Args:
        out: the folder: missing, empty, or begun by the same arguments.
        workers: processes; 0 means one a core, and one alone for a handful of images.
        advance: told how many images are done, as they are done.
        **arguments: the fields of `Recipe`: count, size, seed, layout, findings, prevalence, severity, shift,
            label_noise, uncertain, masks, twins.

    Returns:
        `phantom.json`'s content with `made`, the images rendered now, and `folder`.

    Raises:
        InputError: impossible arguments, or a folder that holds something else; nothing was written.
        RoomError: no room on the disk.
    """
    recipe = make_recipe(**arguments)
    folder = Path(out)
    layout = make_layout(recipe)
    about = describe(recipe)
    whole = _check_folder(folder, about, (TRUTH, *layout.tables))
    if not whole:
        require_room(folder, estimate_bytes(recipe, layout))
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / ABOUT, about | {"complete": False})
    _sweep(folder)
    made = _render_all(recipe, folder, workers, advance or (lambda step=1: None), journal=not whole)
    if not whole:
        _write_tables(layout, folder)
        write_json(folder / ABOUT, about | {"complete": True})
    shutil.rmtree(folder / JOURNALS, ignore_errors=True)
    return about | {"complete": True, "made": made, "folder": str(folder)}


def describe(recipe: Recipe) -> dict[str, Any]:
    """Return what `phantom.json` says: that all is synthetic, and how it was made.

    `layout` names the adapter that reads the tables; `arguments.layout` what was asked for.
    """
    return {
        "synthetic": True,
        "note": SYNTHETIC,
        "generator": "thorax data make-phantom",
        "version": GENERATOR,
        "seed": recipe.seed,
        "layout": "chexpert" if recipe.layout == "chexpert" else "nih",
        "arguments": recipe.arguments(),
    }


def estimate_bytes(recipe: Recipe, layout: Layout) -> int:
    """Estimate what a dataset takes on the disk, in 4 KiB blocks a file."""
    image = _blocks(layout.image_bytes())
    mask = 2 * _blocks(recipe.size**2 // 16) if recipe.masks else 0
    return recipe.count * (image * (2 if recipe.twins else 1) + mask + 1024) + 2**20


def _blocks(size: int) -> int:
    return -(-size // 4096) * 4096


def _check_folder(folder: Path, about: dict[str, Any], tables: Sequence[str]) -> bool:
    """Refuse a folder that holds something else; return whether the dataset is whole."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder.", "Choose another folder with --out.")
    held = sorted(path.name for path in folder.iterdir())
    if not held:
        return False
    if ABOUT not in held:
        raise InputError(
            f"{folder} holds something else ({', '.join(held[:3])}{', …' if len(held) > 3 else ''}).",
            "Choose an empty folder with --out.",
        )
    found = read_json(folder / ABOUT)
    differences = _differences(found, about)
    if differences:
        raise InputError(
            f"{folder} was begun otherwise: " + "; ".join(differences) + ".",
            "Give the same arguments to continue it, or choose another folder with --out.",
        )
    return bool(found.get("complete")) and all((folder / name).is_file() for name in tables)


def _differences(found: Any, wanted: dict[str, Any]) -> list[str]:
    if not isinstance(found, dict) or not isinstance(found.get("arguments"), dict):
        return [f"its {ABOUT} was not written by `thorax data make-phantom`"]
    before, now = found["arguments"], wanted["arguments"]
    other = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    if "findings" in other:
        other.discard("rates")  # these follow from the findings, and are long
    lines = [f"{name} was {before.get(name)!r}, not {now.get(name)!r}" for name in sorted(other)]
    if found.get("version") != wanted["version"]:
        lines.append(f"the generator's version was {found.get('version')!r}, not {wanted['version']!r}")
    return lines


def _sweep(folder: Path) -> None:
    """Remove what an interrupted run left half written."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _render_all(recipe: Recipe, folder: Path, workers: int, advance: Callable[..., None], journal: bool) -> int:
    count = min(workers or _fitting_workers(recipe), -(-recipe.count // BLOCK))
    calls = ((recipe, folder, block, journal) for block in _blocks_of(recipe))
    made = done = 0
    for rendered in ordered_map(make_block, calls, count):
        made += rendered
        step = min(BLOCK, recipe.count - done)
        done += step
        advance(step)
    return made


def _fitting_workers(recipe: Recipe) -> int:
    """One process a core, unless starting them would take longer than the rendering."""
    return (os.cpu_count() or 1) if recipe.count * recipe.size**2 > _WORTH_A_POOL else 1


def _blocks_of(recipe: Recipe) -> Iterator[Sequence[Case]]:
    block: list[Case] = []
    for case in cases(recipe):
        block.append(case)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _write_tables(layout: Layout, folder: Path) -> None:
    with truth_writer(layout, folder) as truth:
        layout.write_tables(folder, truth.passing(_records(layout.recipe, folder)))


def _records(recipe: Recipe, folder: Path) -> Iterator[tuple[Case, Record]]:
    """Yield every case with its record, one journal in memory at a time."""
    for block in _blocks_of(recipe):
        records = read_journal(journal_path(folder, block[0].index))
        for case in block:
            yield case, records[case.index]
