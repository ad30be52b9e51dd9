"""One unit of a cross-validation: one arm, one seed, one fold; trained, scored on the held-out fold, kept as JSON."""

import time
from pathlib import Path
from typing import Any

import numpy as np

#: What is measured of a map or a box against a reader's boxes.
FIGURES = ("pointing_game", "iou")


def run_unit(order: dict[str, Any]) -> str:
    """Fit one arm on all folds but one and write what it says of the held-out one; return the arm's name.

    Args:
        order: JSON-able: store, task, arm, kind, architecture, recipe, shuffled, seed, fold, folds, fold_seed, boxes,
            threads, key, out (the file to write), running (a folder for the checkpoint), pretrained (where
            weights made on phantoms lie).
    """
    from thorax.files import write_json
    from thorax.preprocessing.store import ImageStore
    from thorax.training.folds import assign_folds, with_fold

    began = time.time(), time.process_time()
    whole = ImageStore.open(order["store"])
    everyone = np.arange(len(whole))
    patients = whole.rows["patient_id"].to_numpy()
    fold_of = assign_folds(patients, whole.truth(everyone), order["folds"], order["fold_seed"])
    store = with_fold(whole, fold_of, order["fold"], order["seed"], shuffled=order["shuffled"])
    held = store.indices("test")
    facts = _hog(store) if order["kind"] == "hog" else _network(order, store, held)
    write_json(
        Path(order["out"]),
        {
            **{name: order[name] for name in ("key", "task", "arm", "architecture", "seed", "fold", "recipe")},
            "findings": list(store.findings),
            "image_id": [str(name) for name in store.rows["image_id"].iloc[held]],
            "patient_id": [str(name) for name in store.rows["patient_id"].iloc[held]],
            "truth": [[None if np.isnan(x) else int(x) for x in row] for row in store.truth(held)],
            "seconds": time.time() - began[0],
            "processor_seconds": time.process_time() - began[1],
            **facts,
        },
    )
    return str(order["arm"])


def _hog(store: Any) -> dict[str, Any]:
    from thorax.training.hog import logistic_scores

    return {"scores": _plain(logistic_scores(store)), "boxes": []}


def _network(order: dict[str, Any], store: Any, held: np.ndarray) -> dict[str, Any]:
    import shutil

    from thorax.models import Views
    from thorax.settings import Train
    from thorax.training import learn
    from thorax.training.runtime import steady
    from thorax.training.scoring import answer

    changes = {"seed": order["seed"], "threads": order["threads"], "overrides": {}, "processes": 1}
    recipe = Train.model_validate(order["recipe"] | changes)
    running = Path(order["running"])
    with steady(recipe):
        task, state = learn(
            store,
            order["architecture"],
            recipe,
            splits=("train", "validation", "test"),
            checkpoints=running,
            failures=running,
            pretrained_dir=Path(order["pretrained"]),
        )
        views = Views(recipe.tta_views, store.size).to(task.runtime.device) if recipe.tta_views else None
        found = answer(task.network, store, held, task.runtime, maps=order["boxes"], views=views)
        boxes = _located(task, store, held, found) if order["boxes"] else []
    shutil.rmtree(running, ignore_errors=True)
    return {
        "scores": _plain(found.logits),
        "boxes": boxes,
        "epochs": state.epoch,
        "best_epoch": state.best_epoch + 1,
        "curve": [[row["train_loss"], row["validation_auroc"]] for row in state.curves],
    }


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
