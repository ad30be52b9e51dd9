"""The training step: an image store and an architecture in, a trained network and its answers out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thorax import settings
from thorax.context import COLUMNS as CONTEXT
from thorax.errors import InputError
from thorax.files import atomic_folder, write_json
from thorax.models import Network, Views, build
from thorax.models.freezing import unfreeze
from thorax.training import share
from thorax.training.auc import AucMargin
from thorax.training.augment import augment
from thorax.training.batches import epoch_batches, prefetch, to_float
from thorax.training.boxes import box_targets
from thorax.training.checkpoint import State
from thorax.training.fit import fit
from thorax.training.launch import processes_of, train_together
from thorax.training.losses import EntryLoss
from thorax.training.outputs import SPLITS, write_answers, write_network
from thorax.training.picture import draw_batch
from thorax.training.runtime import choose_runtime, seed_step, steady
from thorax.training.scoring import known_beside
from thorax.training.step import Report, Task

#: Settings on which a run's weights do not depend, or which only say where it runs.
_ELSEWHERE = {"architectures", "overrides", "device", "threads", "processes", "tta_views"}
#: Images from which the grey levels for normalisation are taken.
_SAMPLE = 512


def train(
    store_dir: Path,
    architecture: str,
    settings: settings.Train,
    out: Path,
    *,
    checkpoints: Path | None = None,
    report: Report | None = None,
    pretrained_dir: Path = Path("var/pretrained"),
) -> dict[str, Any]:
    """Train one architecture on an image store and write all that later steps need.

    Where the settings ask for several processes, this one starts them and follows the first.

    Args:
        store_dir: folder of the image store.
        architecture: its name in `thorax.models.ARCHITECTURES`, or `timm:NAME`.
        settings: the training section, whose overrides for this architecture are applied here.
        out: folder to write: `weights.safetensors`, `head.safetensors`, `model.onnx`, `network.json`, `curves.json`,
            `batch.png` and `outputs-<split>.npz`; it appears whole or not at all.
        checkpoints: folder of this run's checkpoint, from which an earlier, broken-off run goes on.
        report: called after each step and epoch with a JSON-able dict: architecture, stage, epoch, epochs, step,
            steps, loss, auroc (of the last validation, or None), eta_seconds (or None).
        pretrained_dir: where the project keeps weights that it made on phantoms.

    Returns:
        What `network.json` holds.

    Raises:
        InputError: settings, weights, images or labels that cannot be trained with, each named.
        TrainingError: training that broke off, and what to change.
        RoomError: the disk is full.
    """
    from thorax.preprocessing.store import ImageStore

    recipe = settings.of(architecture)
    tell = report or (lambda state: None)
    if not share.started() and processes_of(recipe) > 1:
        return train_together(store_dir, architecture, settings, out, checkpoints, tell, pretrained_dir)
    store = ImageStore.open(store_dir)
    with steady(recipe):
        told = {"architecture": architecture, "epochs": recipe.epochs}
        task, state = learn(
            store,
            architecture,
            recipe,
            splits=tuple(SPLITS),
            checkpoints=checkpoints,
            report=lambda state: tell({"stage": "train", **state}),
            pretrained_dir=pretrained_dir,
            failures=checkpoints or out.parent,
        )
        if share.rank():
            return {}
        network, runtime = task.network, task.runtime
        with atomic_folder(out) as folder:
            tell({**told, "stage": "answer", "epoch": state.epoch})
            views = Views(recipe.tta_views, store.size) if recipe.tta_views else None
            _draw_first_batch(task, folder / "batch.png")
            write_answers(network, store, runtime, folder, views)
            tell({**told, "stage": "export", "epoch": state.epoch})
            metadata = {
                "architecture": architecture,
                "findings": json.dumps(list(store.findings)),
                "size": str(store.size),
            }
            write_network(network, folder, store.size, metadata, state.curves, views)
            facts = _facts(architecture, network, store, recipe, folder)
            facts |= {
                "epochs": state.epoch,
                "best_epoch": state.best_epoch + 1,
                "validation_auroc": state.curves[state.best_epoch]["validation_auroc"],
                "seconds": state.seconds,
                "images_per_second": float(np.median([record["images_per_second"] for record in state.curves])),
                "precision": "float32" if runtime.autocast is None else "bfloat16",
                "device": str(runtime.device),
                "processes": share.world(),
            }
            write_json(folder / "network.json", facts)
    return facts


def learn(
    store: Any,
    architecture: str,
    recipe: settings.Train,
    *,
    splits: Sequence[str] = ("train", "validation"),
    checkpoints: Path | None = None,
    report: Report = lambda state: None,
    pretrained_dir: Path = Path("var/pretrained"),
    failures: Path = Path(),
) -> tuple[Task, State]:
    """Train a network and leave it in memory: what `train` does before it writes, for searches and comparisons.

    Args:
        store: an open `ImageStore`.
        architecture: as for `train`.
        recipe: of this architecture; call it within `steady(recipe)`.
        splits: that must have images.
        checkpoints: as for `train`.
        report: called after each step and epoch; what it raises ends the training.
        pretrained_dir: as for `train`.
        failures: folder for what a person needs when training breaks off.

    Returns:
        The task, whose network holds the best epoch's weights, and where the run ended.

    Raises:
        InputError, TrainingError: as for `train`.
    """
    runtime = choose_runtime(recipe, architecture)
    positives, negatives = count_labels(store, splits)
    boxes = box_targets(store) if recipe.boxes.weight else None
    if recipe.boxes.weight and boxes is None:
        raise InputError(
            "train.boxes.weight asks for a box head, and the dataset has no boxes of the chosen findings.",
            "Set train.boxes.weight to 0, or choose findings that have boxes.",
        )
    seed_step(recipe.seed, 0, -1)
    network = build(
        architecture,
        len(store.findings),
        recipe.dropout,
        recipe.pretrained,
        size=store.size,
        stride=recipe.stride,
        names=store.findings,
        folder=pretrained_dir,
        boxes=boxes is not None,
        context=len(CONTEXT) if recipe.context else 0,
    )
    _prepare(network, recipe, store, positives, negatives)
    network.notes += one_sided(store)
    runtime.place(network)
    counts = torch.from_numpy(positives), torch.from_numpy(negatives)
    task = Task(
        architecture=architecture,
        recipe=recipe,
        network=network,
        store=store,
        loss=EntryLoss(recipe, *counts),
        runtime=runtime,
        report=report,
        checkpoints=checkpoints,
        configuration=_configuration(architecture, recipe, store),
        failures=failures,
        ranking=AucMargin(*counts, recipe.auc_margin) if recipe.auc_epochs else None,
        boxes=boxes,
        context=known_beside(store) if recipe.context else None,
    )
    return task, fit(task)


def first_batch(task: Task) -> tuple[Tensor, Tensor | None]:
    """Return the images of the first training batch as the network saw them, and their boxes where they are learned."""
    recipe = task.recipe
    drawn = epoch_batches(task.store.indices("train"), recipe.batch_size, recipe.seed, 0, recipe.epoch_fraction)[:1]
    batch = next(iter(prefetch(task.store, drawn, boxes=task.boxes)))
    images = to_float(batch.images, torch.device("cpu"))
    return augment(images, recipe.augment, seed_step(recipe.seed, 0, 0), batch.boxes)


def _draw_first_batch(task: Task, file: Path) -> None:
    images, boxes = first_batch(task)
    draw_batch(images, file, boxes)


def count_labels(store: Any, splits: Sequence[str] = tuple(SPLITS)) -> tuple[np.ndarray, np.ndarray]:
    """Count positives and negatives a finding in the training split; the splits named must have images.

    Returns:
        Two arrays (F,), float32.

    Raises:
        InputError: an empty split, or a finding that has none of either.
    """
    for split in splits:
        if not len(store.indices(split)):
            raise InputError(f"The {split} split has no images.", "Give it a larger share under split in params.yaml.")
    targets = store.targets(store.indices("train"))
    if len(targets) < 2:
        raise InputError("The train split has one image.", "Give it a larger share under split in params.yaml.")
    positives, negatives = np.nansum(targets > 0.5, axis=0), np.nansum(targets <= 0.5, axis=0)
    for counts, what in ((positives, "positive"), (negatives, "negative")):
        empty = [name for name, count in zip(store.findings, counts, strict=True) if count == 0]
        if empty:
            raise InputError(
                f"The train split has no {what} image of {_list(empty)}.",
                "Leave it out of data.findings, or add such images.",
            )
    return positives.astype(np.float32), negatives.astype(np.float32)


def one_sided(store: Any) -> list[str]:
    """Say which findings the validation split cannot judge, for want of positives or negatives."""
    truth = store.truth(store.indices("validation"))
    told = []
    for label, what in ((1, "positive"), (0, "negative")):
        names = [name for name, column in zip(store.findings, truth.T, strict=True) if not (column == label).any()]
        if names:
            told.append(f"The validation split has no {what} image of {_list(names)}: left out of its mean AUROC.")
    return told


def _prepare(
    network: Network, recipe: settings.Train, store: Any, positives: np.ndarray, negatives: np.ndarray
) -> None:
    """Normalise by the training images and start at the base rates, where no earlier training says otherwise."""
    if recipe.pretrained == "none":
        indices = store.indices("train")
        sample = indices[:: max(1, len(indices) // _SAMPLE)]
        grey = store.images(sample).astype(np.float32) / 255
        network.normalise_by(float(grey.mean()), float(max(grey.std(), 1e-3)))
        if recipe.loss != "weighted_bce":
            network.start_head_at(torch.from_numpy(positives / (positives + negatives)))
    unfreeze(network, recipe.unfreeze)


def _configuration(architecture: str, recipe: settings.Train, store: Any) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    data = ("size", "findings", "count", "manifest_digest", "split_digest", "preprocessing")
    return {
        "architecture": architecture,
        "train": recipe.model_dump(mode="json", exclude=_ELSEWHERE),
        "store": {key: store.info.get(key) for key in data},
    }


def _facts(architecture: str, network: Network, store: Any, recipe: settings.Train, folder: Path) -> dict[str, Any]:
    with np.load(folder / "outputs-test.npz") as answers:
        map_size = int(answers["maps"].shape[-1])
    return {
        "architecture": architecture,
        "findings": list(store.findings),
        "size": store.size,
        "channels": 1,
        "feature_dim": network.feature_dim,
        "map_size": map_size,
        "dropout": recipe.dropout,
        "mean": float(network.mean),
        "std": float(network.std),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "pretrained": recipe.pretrained,
        "boxes": network.box_head is not None,
        "tta_views": recipe.tta_views,
        "context": recipe.context,
        "notes": network.notes,
        "train_images": len(store.indices("train")),
    }


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
