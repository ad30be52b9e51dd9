"""The training step as a whole: what it learns, what it leaves behind, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from trainable_store import FINDINGS, SIZE, quick_recipe, write_store

from thorax.errors import InputError, RoomError, SettingsError
from thorax.settings import load
from thorax.training import TrainingError, fit, step, train
from thorax.training.scoring import aurocs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One training for all that only look at its results."""
    folder = tmp_path_factory.mktemp("trained")
    reports = []
    write_store(folder / "store")
    facts = train(folder / "store", "custom_cnn", quick_recipe(stride=8), folder / "out", report=reports.append)
    return folder / "out", facts, reports


def answers(out, split):
    with np.load(out / f"outputs-{split}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_it_learns_what_can_be_learned(trained):
    out, facts, _ = trained
    test = answers(out, "test")
    assert min(aurocs(test["truth"], test["logits"], FINDINGS).values()) > 0.95
    assert facts["validation_auroc"] > 0.95


def test_a_person_can_look_at_what_the_network_saw(trained):
    from PIL import Image

    with Image.open(trained[0] / "batch.png") as picture:
        assert picture.size == (4 * SIZE + 6, 4 * SIZE + 6)
        assert np.asarray(picture).std() > 10


def test_its_maps_look_where_the_finding_is(trained):
    test = answers(trained[0], "test")
    maps, truth = test["maps"].astype(np.float32), test["truth"]
    peaks = []
    for column in range(2):
        present = truth[:, column] == 1
        difference = maps[present, column].mean(axis=0) - maps[~present, column].mean(axis=0)
        peaks.append(tuple(int(place) for place in np.unravel_index(difference.argmax(), difference.shape)))
    # Four by four cells: one finding fills row 3 and column 1, the other row 1 and columns 2 and 3.
    assert peaks[0] == (3, 1)
    assert peaks[1] in ((1, 2), (1, 3))


def test_every_split_has_its_answers_in_the_order_of_the_store(trained):
    from thorax.preprocessing.store import ImageStore

    out, facts, _ = trained
    store = ImageStore.open(out.parent / "store")
    for split in ("train", "validation", "calibration", "test"):
        found, indices = answers(out, split), store.indices(split)
        assert list(found["image_id"]) == list(store.rows["image_id"].iloc[indices])
        assert np.array_equal(found["truth"], store.truth(indices))
        assert found["logits"].dtype == found["features"].dtype == np.float32
        assert found["features"].shape == (len(indices), facts["feature_dim"])
        assert ("maps" in found) == (split in ("calibration", "test"))
    maps = answers(out, "test")["maps"]
    assert maps.dtype == np.float16
    assert maps.shape[1:] == (2, facts["map_size"], facts["map_size"])
    assert np.allclose(maps.astype(np.float32).mean(axis=(2, 3)), answers(out, "test")["logits"], atol=0.02)


def test_onnx_and_stored_answers_are_the_same_for_any_number_of_images(trained):
    import onnxruntime

    from thorax.preprocessing.store import ImageStore

    out, _, _ = trained
    store = ImageStore.open(out.parent / "store")
    indices, expected = store.indices("test"), answers(out, "test")
    session = onnxruntime.InferenceSession(str(out / "model.onnx"))
    images = (store.images(indices).astype(np.float32) / 255)[:, None]
    for count in (1, len(indices)):
        logits, features, maps = session.run(["logits", "features", "maps"], {"image": images[:count]})
        assert np.allclose(logits, expected["logits"][:count], atol=1e-4)
        assert np.allclose(features, expected["features"][:count], atol=1e-4)
        assert np.allclose(maps, expected["maps"][:count], atol=0.02)


def test_weights_and_head_open_without_pickle_and_give_the_logits(trained):
    out, facts, _ = trained
    head, test = load_file(out / "head.safetensors"), answers(out, "test")
    assert np.allclose(test["features"] @ head["weight"].T + head["bias"], test["logits"], atol=1e-4)
    with safe_open(out / "weights.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["findings"]) == list(FINDINGS)
    assert json.loads((out / "network.json").read_text()) == facts
    assert facts["size"] == SIZE
    assert facts["channels"] == 1


def test_curves_and_reports_tell_a_person_how_far_it_is(trained):
    out, facts, reports = trained
    curves = json.loads((out / "curves.json").read_text())
    assert [record["epoch"] for record in curves] == list(range(1, facts["epochs"] + 1))
    assert curves[-1]["train_loss"] < curves[0]["train_loss"]
    steps = [report for report in reports if report["stage"] == "train"]
    assert json.loads(json.dumps(reports)) == reports
    assert steps[0] | {"loss": 0, "eta_seconds": 0} == {
        "stage": "train",
        "architecture": "custom_cnn",
        "epoch": 1,
        "epochs": 4,
        "step": 1,
        "steps": 5,
        "loss": 0,
        "auroc": None,
        "curve": None,
        "eta_seconds": 0,
    }
    assert steps[-1]["auroc"] == curves[-1]["validation_auroc"]
    assert steps[-1]["eta_seconds"] == 0
    assert [report["stage"] for report in reports[-2:]] == ["answer", "export"]


def test_early_stopping_gives_back_the_best_weights(store_folder, recipe, tmp_path, monkeypatch):
    scores, kept = iter([0.6, 0.9, 0.7, 0.5, 0.4]), []

    def scored(truth, logits, names):
        kept.append(logits)
        return {"Effusion": next(scores)}

    monkeypatch.setattr(fit, "aurocs", scored)
    recipe = recipe.model_copy(update={"epochs": 5, "patience": 2})
    facts = train(store_folder, "custom_cnn", recipe, tmp_path / "out")
    assert (facts["epochs"], facts["best_epoch"], facts["validation_auroc"]) == (4, 2, 0.9)
    assert np.allclose(answers(tmp_path / "out", "validation")["logits"], kept[1], atol=1e-4)


def test_a_finding_without_positives_is_named(tmp_path, recipe):
    store = write_store(tmp_path / "store", **{"target:Edema": np.float32(0)})
    with pytest.raises(InputError, match="no positive image of Edema"):
        train(store, "custom_cnn", recipe, tmp_path / "out")


def test_a_finding_without_negatives_is_named(tmp_path, recipe):
    store = write_store(tmp_path / "store", **{"target:Effusion": np.float32(1)})
    with pytest.raises(InputError, match="no negative image of Effusion"):
        train(store, "custom_cnn", recipe, tmp_path / "out")


def test_a_validation_finding_of_one_class_is_left_out_of_the_mean(tmp_path, recipe):
    store = write_store(tmp_path / "store")
    import pandas as pd

    rows = pd.read_parquet(store / "rows.parquet")
    rows.loc[rows["split"] == "validation", "truth:Edema"] = np.float32(0)
    rows.to_parquet(store / "rows.parquet")
    facts = train(store, "custom_cnn", recipe.model_copy(update={"epochs": 1}), tmp_path / "out")
    assert facts["notes"] == ["The validation split has no positive image of Edema: left out of its mean AUROC."]
    assert set(json.loads((tmp_path / "out" / "curves.json").read_text())[0]["validation_aurocs"]) == {"Effusion"}


def test_an_empty_split_is_named(tmp_path, recipe):
    store = write_store(tmp_path / "store", split=["train", "test", "validation", "train"] * 40)
    with pytest.raises(InputError, match="calibration split has no images"):
        train(store, "custom_cnn", recipe, tmp_path / "out")


def test_a_loss_that_is_not_finite_stops_and_names_the_images(store_folder, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "augment", lambda images, *_: (images * float("nan"), None))
    with pytest.raises(TrainingError, match="loss became nan") as caught:
        train(store_folder, "custom_cnn", recipe, tmp_path / "out", checkpoints=tmp_path / "kept")
    saved = json.loads((tmp_path / "kept" / "non-finite-custom_cnn.json").read_text())
    assert len(saved["image_ids"]) == 16
    assert str(tmp_path / "kept") in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"),
    ],
    ids=["GPU", "Python", "CPU"],
)
def test_too_little_memory_names_a_batch_size_to_try(store_folder, recipe, tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(step, "augment", full)
    with pytest.raises(TrainingError, match=r"batches of 16 images. Set train.batch_size to 8"):
        train(store_folder, "custom_cnn", recipe, tmp_path / "out")


def test_a_fault_that_is_not_of_memory_is_not_taken_for_one(store_folder, recipe, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(step, "augment", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(store_folder, "custom_cnn", recipe, tmp_path / "out")


def test_a_full_disk_is_named_and_leaves_nothing_half_written(store_folder, recipe, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RoomError, match="No room left on the disk"):
        train(store_folder, "custom_cnn", recipe.model_copy(update={"epochs": 1}), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_an_image_smaller_than_the_network_takes(store_folder, recipe, tmp_path):
    with pytest.raises(InputError, match=r"inception_v3 takes images of at least 75 px.*preprocess.size is 32"):
        train(store_folder, "inception_v3", recipe, tmp_path / "out")


def test_an_unknown_block_or_loss_is_answered_with_the_nearest(store_folder, recipe, tmp_path):
    with pytest.raises(InputError, match=r"no block 'stage33'. Did you mean stage3"):
        train(store_folder, "custom_cnn", recipe.model_copy(update={"unfreeze": "stage33"}), tmp_path / "out")
    with pytest.raises(
        SettingsError, match=r"train.loss: Input should be .*'focal'.*found 'focall'.*Did you mean focal\?"
    ):
        load(overrides=["train.loss=focall"])


def test_a_gpu_that_is_not_there(store_folder, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="PyTorch sees no GPU"):
        train(store_folder, "custom_cnn", recipe.model_copy(update={"device": "cuda"}), tmp_path / "out")


@pytest.mark.slow
def test_shuffled_labels_teach_nothing(tmp_path, recipe):
    """The control: with labels dealt out at random, test AUROC stands at one half."""
    rng = np.random.default_rng(0)
    shuffled = {f"{kind}:{name}": rng.permutation([0.0, 1.0] * 240) for name in FINDINGS for kind in ("target",)}
    shuffled |= {f"truth:{name}": shuffled[f"target:{name}"] for name in FINDINGS}
    store = write_store(tmp_path / "store", count=480, **shuffled)
    train(store, "custom_cnn", recipe, tmp_path / "out")
    pooled = [answers(tmp_path / "out", split) for split in ("calibration", "test")]
    truth, logits = (np.concatenate([part[name] for part in pooled]) for name in ("truth", "logits"))
    # Four standard errors of an AUROC of 160 images, half of them positive, are 0.18.
    assert np.mean(list(aurocs(truth, logits, FINDINGS).values())) == pytest.approx(0.5, abs=0.13)
