"""One unit of a cross-validation: one training, of one seed and fold, scored on the held-out fold, kept as JSON."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: What is measured of a map or a box against a reader's boxes.
FIGURES = ("pointing_game", "iou")


def run_unit(orders: Sequence[dict[str, Any]]) -> None:
    """Fit on all folds but one, and write what each arm that shares this fit says of the held-out one.

    Args:
        orders: one an arm, alike but for how the network is asked (`recipe.tta_views`). Each is JSON-able: store,
            task, arm, kind, architecture, recipe, shuffled, seed, fold, folds, fold_seed, boxes, threads, key, out
            (the file to write), running (a folder for the checkpoint), pretrained (where weights made on phantoms
            lie).
    """
    from thorax.files import write_json
    from thorax.preprocessing.store import ImageStore
    from thorax.training.folds import assign_folds, with_fold

    first = orders[0]
    whole = ImageStore.open(first["store"])
    everyone = np.arange(len(whole))
    patients = whole.rows["patient_id"].to_numpy()
    fold_of = assign_folds(patients, whole.truth(everyone), first["folds"], first["fold_seed"])
    store = with_fold(whole, fold_of, first["fold"], first["seed"], shuffled=first["shuffled"])
    held = store.indices("test")
    about = {
        "findings": list(store.findings),
        "image_id": [str(name) for name in store.rows["image_id"].iloc[held]],
        "patient_id": [str(name) for name in store.rows["patient_id"].iloc[held]],
        "truth": [[None if np.isnan(x) else int(x) for x in row] for row in store.truth(held)],
    }
    answers = _hog(store) if first["kind"] == "hog" else _network(orders, store, held)
    for order, facts in zip(orders, answers, strict=True):
        named = {name: order[name] for name in ("key", "task", "arm", "architecture", "seed", "fold", "recipe")}
        write_json(Path(order["out"]), {**named, **about, **facts})


def _clocks() -> np.ndarray:
    """Return seconds of the wall's clock and of the processor's."""
    return np.array([time.time(), time.process_time()])


def _took(spent: np.ndarray) -> dict[str, float]:
    return dict(zip(("seconds", "processor_seconds"), map(float, spent), strict=True))


def _hog(store: Any) -> list[dict[str, Any]]:
    from thorax.training.hog import logistic_scores

    began = _clocks()
    scores = logistic_scores(store)
    return [{"scores": _plain(scores), "boxes": [], **_took(_clocks() - began)}]


def _network(orders: Sequence[dict[str, Any]], store: Any, held: np.ndarray) -> list[dict[str, Any]]:
    import shutil

    from thorax.models import Views
    from thorax.settings import Train
    from thorax.training import learn
    from thorax.training.runtime import steady
    from thorax.training.scoring import answer

    first = orders[0]
    changes = {"seed": first["seed"], "threads": first["threads"], "overrides": {}, "processes": 1}
    recipes = [Train.model_validate(order["recipe"] | changes) for order in orders]
    running = Path(first["running"])
    began = _clocks()
    with steady(recipes[0]):
        task, state = learn(
            store,
            first["architecture"],
            recipes[0],
            splits=("train", "validation", "test"),
            checkpoints=running,
            failures=running,
            pretrained_dir=Path(first["pretrained"]),
        )
        # Each arm would have paid for the training by itself.
        clocks, found = [_clocks()], []
        for order, recipe in zip(orders, recipes, strict=True):
            views = Views(recipe.tta_views, store.size).to(task.runtime.device) if recipe.tta_views else None
            found.append(answer(task.network, store, held, task.runtime, maps=order["boxes"], views=views))
            clocks.append(_clocks())
        took = [clocks[0] - began + one for one in np.diff(clocks, axis=0)]
        boxes = []
        # Only then, as comparing maps moves the network.
        for number, order in enumerate(orders):
            before = _clocks()
            boxes.append(_located(task, store, held, found[number]) if order["boxes"] else [])
            took[number] += _clocks() - before
    shutil.rmtree(running, ignore_errors=True)
    learned = {
        "epochs": state.epoch,
        "best_epoch": state.best_epoch + 1,
        "curve": [[row["train_loss"], row["validation_auroc"]] for row in state.curves],
    }
    return [
        {"scores": _plain(one.logits), "boxes": boxes[number], **learned, **_took(took[number])}
        for number, one in enumerate(found)
    ]


def _located(task: Any, store: Any, held: np.ndarray, found: Any) -> list[dict[str, Any]]:
    """Compare maps, the library's maps, a random map and the predicted box with every reader's box of the fold."""
    import torch

    from thorax.explain.gradients import gradient_map
    from thorax.explain.localization import agreement

    place = {str(name): row for row, name in enumerate(store.rows["image_id"].iloc[held])}
    column = {name: number for number, name in enumerate(store.findings)}
    table = store.boxes
    table = table[table["image_id"].isin(place) & table["finding"].isin(column)]
    network = task.network.to("cpu", memory_format=torch.contiguous_format).float().eval()
    random = np.random.default_rng(task.recipe.seed)
    results = []
    for (image_id, finding), group in table.groupby(["image_id", "finding"], sort=True):
        row, number = place[str(image_id)], column[str(finding)]
        boxes = [tuple(map(float, box)) for box in group[["x", "y", "w", "h"]].to_numpy()]
        own = found.maps[row, number].astype(np.float32)
        image = store.images(held[[row]])[0].astype(np.float32) / 255
        maps = {
            "class activation map": own,
            "random map": random.random(own.shape, dtype=np.float32),
            "Grad-CAM": np.maximum(gradient_map(network, image, number, "grad-cam"), 0),
            "Grad-CAM++": np.maximum(gradient_map(network, image, number, "grad-cam++"), 0),
        }
        told = {name: {key: float(agreement(map_, boxes)[key]) for key in FIGURES} for name, map_ in maps.items()}  # type: ignore[literal-required]
        if found.boxes is not None:
            told["box head"] = box_agreement(found.boxes[row, number], boxes)
        results.append({"image_id": str(image_id), "finding": str(finding), "methods": told})
    return results


def box_agreement(box: Any, readers: list[tuple[float, ...]]) -> dict[str, float]:
    """Compare a predicted box (x, y, width, height as fractions) with readers' boxes of the same finding.

    Its pointing game is whether its centre lies in any of them; its IoU is with their union.
    """
    from thorax.explain.localization import box_mask

    x, y, width, height = (float(part) for part in box)
    inside = any(
        left <= x + width / 2 <= left + wide and top <= y + height / 2 <= top + high
        for left, top, wide, high in readers
    )
    mine, theirs = box_mask([(x, y, width, height)]), box_mask(readers)
    return {"pointing_game": float(inside), "iou": float((mine & theirs).sum() / max(1, (mine | theirs).sum()))}


def _plain(scores: np.ndarray) -> list[list[float]]:
    return [[round(float(value), 6) for value in row] for row in scores]
