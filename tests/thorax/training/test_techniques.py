"""Each technique does what it says inside a whole training, and a run with all of them resumes to the same weights."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from trainable_store import FINDINGS, PLACES, SIZE, add_boxes, quick_recipe, write_store

from thorax.errors import InputError
from thorax.models import build
from thorax.preprocessing.store import ImageStore
from thorax.training import train
from thorax.training.average import Average
from thorax.training.runtime import seed_step
from thorax.training.scoring import aurocs, known_beside

ALL = {
    "ema": 0.9,
    "sampling": "class_balanced",
    "unfreeze_epochs": 2,
    "auc_epochs": 2,
    "boxes": {"weight": 2.0, "loss": "giou"},
    "tta_views": 2,
    "context": True,
    "label_smoothing": 0.05,
    "weight_decay": 0.02,
}


class StopError(Exception):
    """Breaks a run off from within."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A training with all techniques at once."""
    folder = tmp_path_factory.mktemp("everything")
    add_boxes(write_store(folder / "store"))
    facts = train(folder / "store", "custom_cnn", quick_recipe(**ALL), folder / "out")
    return folder, facts


def answers(out, split="test"):
    with np.load(out / f"outputs-{split}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_it_still_learns_and_its_answers_belong_together(everything):
    folder, facts = everything
    test, head = answers(folder / "out"), load_file(folder / "out" / "head.safetensors")
    assert min(aurocs(test["truth"], test["logits"], FINDINGS).values()) > 0.8
    known = known_beside(store := ImageStore.open(folder / "store"))[store.indices("test")]
    logits = test["features"] @ head["weight"].T + head["bias"] + known @ head["context"].T
    assert np.allclose(logits, test["logits"], atol=1e-4)
    assert np.allclose(test["maps"].astype(np.float32).mean(axis=(2, 3)), test["logits"], atol=0.02)
    assert (facts["boxes"], facts["tta_views"]) == (True, 2)


def test_predicted_boxes_are_stored_and_in_the_graph(everything):
    import onnxruntime

    folder, _ = everything
    store, test = ImageStore.open(folder / "store"), answers(folder / "out")
    assert test["boxes"].shape == (len(test["image_id"]), 2, 4)
    assert "boxes" not in answers(folder / "out", "validation")
    session = onnxruntime.InferenceSession(str(folder / "out" / "model.onnx"))
    assert [output.name for output in session.get_outputs()] == ["logits", "features", "maps", "boxes"]
    images = (store.images(store.indices("test")).astype(np.float32) / 255)[:, None]
    known = known_beside(store)[store.indices("test")]
    logits, maps, boxes = session.run(["logits", "maps", "boxes"], {"image": images, "context": known})
    assert np.allclose(logits, test["logits"], atol=1e-4)
    assert np.allclose(maps, test["maps"], atol=0.05)
    assert np.allclose(boxes, test["boxes"], atol=1e-4)


def test_broken_off_anywhere_it_ends_with_the_very_same_weights(everything, tmp_path):
    folder, _ = everything
    places = iter([(1, 3), (3, 2), (4, 1)])
    stop_at = next(places)

    def report(state):
        nonlocal stop_at
        if state["stage"] == "train" and (state["epoch"], state["step"]) == stop_at:
            stop_at = next(places, None)
            raise StopError

    for _ in range(3):
        with pytest.raises(StopError):
            train(
                folder / "store",
                "custom_cnn",
                quick_recipe(**ALL),
                tmp_path / "out",
                checkpoints=tmp_path / "k",
                report=report,
            )
    train(
        folder / "store", "custom_cnn", quick_recipe(**ALL), tmp_path / "out", checkpoints=tmp_path / "k", report=report
    )
    one, other = (load_file(place / "out" / "weights.safetensors") for place in (folder, tmp_path))
    assert all(np.array_equal(other[name], tensor) for name, tensor in one.items())


def test_what_is_known_beside_the_image_is_learned_and_may_be_left_out(tmp_path):
    import onnxruntime

    from thorax.context import encode

    # Sex alone tells the first finding: the image of one that has it looks like any other.
    random = np.random.default_rng(0)
    truth = (random.random(240) < 0.5).astype(np.float32)
    columns = {"truth:Effusion": truth, "target:Effusion": truth, "sex": np.where(truth == 1, "F", "M")}
    store = write_store(tmp_path / "store", count=240, **columns)
    facts = train(store, "custom_cnn", quick_recipe(context=True, epochs=6, learning_rate=0.02), tmp_path / "out")
    assert facts["context"]
    test, opened = answers(tmp_path / "out"), ImageStore.open(store)
    assert aurocs(test["truth"], test["logits"], FINDINGS)["Effusion"] > 0.9
    assert np.allclose(test["maps"].astype(np.float32).mean(axis=(2, 3)), test["logits"], atol=0.02)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    rows = opened.rows.iloc[opened.indices("test")]
    image = (opened.images(opened.indices("test")).astype(np.float32) / 255)[:, None]
    context = encode(rows["age"], rows["sex"], rows["view"])
    told = session.run(["logits"], {"image": image, "context": context})[0]
    assert np.allclose(told, test["logits"], atol=1e-4)
    # Left out, it is nothing known: the answer of zeros, for any number of images.
    untold = session.run(["logits"], {"image": image})[0]
    assert np.allclose(untold, session.run(["logits"], {"image": image, "context": context * 0})[0], atol=1e-5)
    head = load_file(tmp_path / "out" / "head.safetensors")
    assert np.allclose(told - untold, context @ head["context"].T, atol=1e-4)


def test_a_box_head_without_boxes_is_refused(store_folder, tmp_path):
    recipe = quick_recipe(boxes={"weight": 1.0})
    with pytest.raises(InputError, match=r"asks for a box head, and the dataset has no boxes"):
        train(store_folder, "custom_cnn", recipe, tmp_path / "out")


def test_the_box_head_finds_the_squares(tmp_path):
    store = add_boxes(write_store(tmp_path / "store"))
    recipe = quick_recipe(boxes={"weight": 5.0}, epochs=6)
    train(store, "custom_cnn", recipe, tmp_path / "out")
    test = answers(tmp_path / "out")
    down, across = PLACES["Effusion"]
    wanted = np.array([across.start, down.start, 8, 8]) / SIZE
    assert np.abs(test["boxes"][test["truth"][:, 0] == 1, 0] - wanted).mean() < 0.08


def test_the_average_forgets_where_it_began_and_follows_the_weights():
    network = build("custom_cnn", 2)
    average = Average(network, 0.9)
    started = average.weights["head.bias"].clone()
    with torch.no_grad():
        network.head.bias.fill_(5.0)
    average.update(0)
    # At step 0 a tenth is kept: 0.1 · start + 0.9 · 5.
    assert torch.allclose(average.weights["head.bias"], 0.1 * started + 4.5)
    for step in range(1, 60):
        average.update(step)
    assert torch.allclose(average.weights["head.bias"], torch.full((2,), 5.0), atol=1e-3)
    with torch.no_grad():
        network.head.bias.fill_(-1.0)
    with average.applied():
        assert network.head.bias[0].item() == pytest.approx(5.0, abs=1e-3)
    assert network.head.bias[0].item() == -1.0


def test_gradual_unfreezing_leaves_the_backbone_alone_at_first(store_folder, tmp_path):
    def backbone(epochs: int) -> dict[str, np.ndarray]:
        out = tmp_path / f"{epochs}"
        train(store_folder, "custom_cnn", quick_recipe(unfreeze_epochs=2, epochs=epochs), out)
        weights = load_file(out / "weights.safetensors")
        return {name: tensor for name, tensor in weights.items() if name.startswith("backbone.")}

    seed_step(quick_recipe().seed, 0, -1)
    fresh = {
        f"backbone.{name}": tensor.numpy() for name, tensor in build("custom_cnn", 2).backbone.state_dict().items()
    }
    after_one, after_two = backbone(1), backbone(2)
    assert all(np.array_equal(after_one[name], tensor) for name, tensor in fresh.items())
    moved = {name for name, tensor in fresh.items() if not np.array_equal(after_two[name], tensor)}
    # Of five blocks the last two are added in the second of two epochs.
    assert {name.split(".")[1] for name in moved} == {"stage3", "top"}


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_the_rate_that_was_taken_is_in_the_curves(store_folder, tmp_path, schedule):
    recipe = quick_recipe(schedule=schedule, epochs=2, warmup_epochs=1)
    train(store_folder, "custom_cnn", recipe, tmp_path / "out")
    curves = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert all(0 < record["learning_rate"] <= recipe.learning_rate for record in curves)
    assert all(record["gradient_norm"] > 0 and record["images_per_second"] > 0 for record in curves)
