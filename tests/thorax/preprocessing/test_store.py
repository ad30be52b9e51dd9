"""The store holds what the files show, says what it left out, goes on after a crash, and notices what was changed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thorax.errors import InputError, RoomError
from thorax.files import digest_file, digest_folder
from thorax.imaging import read_image, to_network_input
from thorax.manifest import read_manifest, write_manifest
from thorax.preprocessing import build_store, shards
from thorax.preprocessing import prepare as preparing
from thorax.preprocessing.store import ImageStore
from thorax.settings import Data, Preprocess, Split

Dataset = tuple[Path, Path, pd.DataFrame]
SMALL = Preprocess(size=32, shard_rows=40, workers=1)


def build(dataset: Dataset, data: Data, out: Path, **changes: object) -> dict:
    folder, root, _ = dataset
    return build_store(data, Split(), SMALL.model_copy(update=changes), folder, root, out)


def test_every_image_is_where_its_row_says(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    folder, root, manifest = dataset
    done: list[int] = []
    info = build_store(data, Split(), SMALL, folder, root, tmp_path / "store", done.append)
    store = ImageStore.open(tmp_path / "store", digests=True)
    assert sum(done) == len(manifest) == info["count"] == len(store)
    assert len(info["shards"]) == -(-len(manifest) // 40)
    for number in (0, 39, 40, len(manifest) - 1):
        pixels = read_image(root / store.rows["path"][number]).pixels
        np.testing.assert_array_equal(store.images([number])[0], to_network_input(pixels, 32))
    mixed = np.array([len(manifest) - 1, 0, 41, 0])
    np.testing.assert_array_equal(store.images(mixed), np.stack([store.images([n])[0] for n in mixed]))
    np.testing.assert_array_equal(store.truth(mixed), manifest[list(store.findings)].to_numpy(np.float32)[mixed])


def test_splits_labels_and_lineage_are_kept(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    info = build(dataset, data, tmp_path / "store")
    store = ImageStore.open(tmp_path / "store")
    parts = [store.indices(name) for name in ("train", "validation", "calibration", "test")]
    assert sorted(np.concatenate(parts)) == list(range(len(store)))
    assert info["splits"]["train"] == len(parts[0])
    assert (info["revision"], info["source"], info["synthetic"], info["manifest_digest"]) == ("r", "nih", True, "m")
    assert store.findings == data.classes
    with pytest.raises(InputError, match="no split 'dev'"):
        store.indices("dev")


def test_uncertain_labels_are_trained_by_policy_and_judged_by_nobody(
    dataset: Dataset, data: Data, tmp_path: Path
) -> None:
    folder, root, manifest = dataset
    manifest.loc[0, "Edema"] = -1.0
    write_manifest(manifest, folder / "manifest.parquet")
    ones = data.model_copy(update={"uncertain": data.uncertain.model_copy(update={"default": "ones"})})
    build_store(ones, Split(), SMALL, folder, root, tmp_path / "store")
    store = ImageStore.open(tmp_path / "store")
    assert store.targets([0])[0, 1] == 1
    assert np.isnan(store.truth([0])[0, 1])


def test_images_that_cannot_be_read_are_left_out_with_their_reason(
    dataset: Dataset, data: Data, tmp_path: Path
) -> None:
    _, root, manifest = dataset
    (root / manifest["path"][3]).unlink()
    (root / manifest["path"][45]).write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    info = build(dataset, data, tmp_path / "store")
    assert info["skipped"] == 2
    skipped = pd.read_parquet(tmp_path / "store" / "skipped.parquet")
    assert skipped["image_id"].tolist() == manifest["image_id"][[3, 45]].tolist()
    assert "does not exist" in skipped["reason"][0]
    store = ImageStore.open(tmp_path / "store", digests=True)
    assert len(store) == len(manifest) - 2
    last = len(store) - 1
    expected = to_network_input(read_image(root / store.rows["path"][last]).pixels, 32)
    np.testing.assert_array_equal(store.images([last])[0], expected)


def test_a_file_changed_since_ingest_is_left_out(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    folder, root, manifest = dataset
    manifest["sha256"] = "0" * 64
    manifest.loc[1:, "sha256"] = [digest_file(root / path) for path in manifest["path"][1:]]
    write_manifest(manifest, folder / "manifest.parquet")
    build(dataset, data, tmp_path / "store")
    skipped = pd.read_parquet(tmp_path / "store" / "skipped.parquet")
    assert skipped["image_id"].tolist() == [manifest["image_id"][0]]
    assert "changed since it was ingested" in skipped["reason"][0]


def test_a_dataset_without_one_readable_image_is_refused(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    _, root, manifest = dataset
    for path in manifest["path"]:
        (root / path).unlink()
    with pytest.raises(InputError, match="No image of"):
        build(dataset, data, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_one_process_and_two_give_the_same_bytes(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    build(dataset, data, tmp_path / "one", workers=1)
    build(dataset, data, tmp_path / "two", workers=2)
    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "two")


def test_the_same_store_is_not_made_twice_and_another_is(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    build(dataset, data, tmp_path / "store")
    written = (tmp_path / "store" / "store.json").stat().st_mtime_ns
    again = build(dataset, data, tmp_path / "store")
    assert (tmp_path / "store" / "store.json").stat().st_mtime_ns == written
    assert again["size"] == 32
    (tmp_path / "store" / "images-00001.npy").write_bytes(b"damaged")
    assert build(dataset, data, tmp_path / "store")["count"] == again["count"]
    ImageStore.open(tmp_path / "store", digests=True)
    assert build(dataset, data, tmp_path / "store", size=40)["size"] == 40


def test_the_splits_are_those_of_the_data_gate(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    from thorax.preprocessing import splits

    _, _, manifest = dataset
    derived = data.model_copy(update={"no_finding": "class", "other_finding": "exclude"})
    build(dataset, derived, tmp_path / "store")
    rows = ImageStore.open(tmp_path / "store").rows.set_index("image_id")["split"]
    assert rows.to_dict() == splits.assign(manifest, derived.classes, Split()).to_dict()


def test_after_a_crash_only_what_was_not_finished_is_done_again(
    dataset: Dataset, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(dataset, data, tmp_path / "whole")
    real = shards.write
    written: list[int] = []

    def crash(key: str, rows: pd.DataFrame, *rest: object) -> shards.Shard:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(len(rows))
        return real(key, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        build(dataset, data, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(shards, "write", real)
    decoded: list[str] = []
    real_scan = preparing.scan

    def counting(root: Path, paths: list[str], *rest: object) -> Iterator[object]:
        decoded.extend(paths)
        return real_scan(root, paths, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(preparing, "scan", counting)
    build(dataset, data, tmp_path / "store")
    assert decoded == dataset[2]["path"].tolist()[80:]
    assert digest_folder(tmp_path / "store") == digest_folder(tmp_path / "whole")
    assert not list(tmp_path.glob(".store*"))


def test_parts_prepared_apart_make_the_store_that_one_pass_makes(
    dataset: Dataset, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, root, manifest = dataset
    build(dataset, data, tmp_path / "whole")
    places = [tmp_path / f"part{number}" for number in range(3)]
    for number, place in enumerate(places):
        done: list[int] = []
        preparing.prepare(read_manifest(folder / "manifest.parquet"), root, SMALL, [place], (number, 3), done.append)
        assert 0 < sum(done) < len(manifest)

    def none(root: Path, paths: list[str], *_: object) -> Iterator[object]:
        assert paths == []
        return iter(())

    monkeypatch.setattr(preparing, "scan", none)
    build_store(data, Split(), SMALL, folder, root, tmp_path / "store", prepared=places[::-1])
    assert digest_folder(tmp_path / "store") == digest_folder(tmp_path / "whole")
    with pytest.raises(InputError, match="no part 3 of 3"):
        preparing.prepare(manifest, root, SMALL, places, (3, 3))


def test_another_recipe_or_another_file_is_prepared_anew_and_nothing_else(
    dataset: Dataset, data: Data, tmp_path: Path
) -> None:
    folder, root, manifest = dataset
    manifest = manifest.assign(sha256=[digest_file(root / path) for path in manifest["path"]])
    write_manifest(manifest, folder / "manifest.parquet")
    cache = [tmp_path / "cache"]
    build_store(data, Split(), SMALL, folder, root, tmp_path / "one", prepared=cache)
    before = set(cache[0].iterdir())
    build_store(data, Split(seed=5), SMALL, folder, root, tmp_path / "two", prepared=cache)
    assert set(cache[0].iterdir()) == before, "another split needs no other arrays"
    Image.new("L", (40, 50), 7).save(root / manifest["path"].iloc[-1])
    manifest.loc[manifest.index[-1], "sha256"] = digest_file(root / manifest["path"].iloc[-1])
    write_manifest(manifest, folder / "manifest.parquet")
    build_store(data, Split(), SMALL, folder, root, tmp_path / "three", prepared=cache)
    assert len(set(cache[0].iterdir()) - before) == 2, "one shard, and its facts"
    larger = SMALL.model_copy(update={"size": 40})
    build_store(data, Split(), larger, folder, root, tmp_path / "four", prepared=cache)
    assert len(set(cache[0].glob("*.npy"))) == 2 * len(before) // 2 + 1


def test_shards_that_nobody_asked_for_are_removed(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    folder, root, _ = dataset
    cache = tmp_path / "cache"
    build_store(data, Split(), SMALL, folder, root, tmp_path / "store", prepared=[cache])
    assert preparing.prune(cache) == 0
    notes = sorted(cache.glob("*.parquet"))
    os.utime(notes[0], (0, 0))
    assert preparing.prune(cache) == 1
    assert not notes[0].exists() and not notes[0].with_suffix(".npy").exists()
    ImageStore.open(tmp_path / "store", digests=True)


def test_a_finished_shard_that_was_damaged_meanwhile_is_written_again(
    dataset: Dataset, data: Data, tmp_path: Path
) -> None:
    folder, root, _ = dataset
    cache = tmp_path / "cache"
    build_store(data, Split(), SMALL, folder, root, tmp_path / "one", prepared=[cache])
    sorted(cache.glob("*.npy"))[0].write_bytes(b"damaged")
    sorted(cache.glob("*.parquet"))[1].write_bytes(b"damaged")
    build_store(data, Split(), SMALL, folder, root, tmp_path / "two", prepared=[cache])
    ImageStore.open(tmp_path / "two", digests=True)


def test_a_full_disk_leaves_the_old_store_and_says_so(
    dataset: Dataset, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(dataset, data, tmp_path / "store")
    before = digest_folder(tmp_path / "store")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "_header", full)
    with pytest.raises(RoomError, match="No room left"):
        build(dataset, data, tmp_path / "store", size=40)
    assert digest_folder(tmp_path / "store") == before


def test_a_header_is_as_long_whatever_the_number_of_rows() -> None:
    assert {len(shards._header(rows, size)) for rows in (0, 1, 4096, 10**7) for size in (32, 2048)} == {128}


@pytest.mark.parametrize("damage", ["cut", "gone", "rows", "json", "version"])
def test_a_damaged_store_is_refused_when_opened(damage: str, dataset: Dataset, data: Data, tmp_path: Path) -> None:
    build(dataset, data, tmp_path / "store")
    shard = tmp_path / "store" / "images-00001.npy"
    note = tmp_path / "store" / "store.json"
    match damage:
        case "cut":
            shard.write_bytes(shard.read_bytes()[:-1000])
        case "gone":
            shard.unlink()
        case "rows":
            rows = pd.read_parquet(tmp_path / "store" / "rows.parquet")
            rows.iloc[:-1].to_parquet(tmp_path / "store" / "rows.parquet")
        case "json":
            note.write_text(note.read_text()[:50])
        case "version":
            note.write_text(note.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(InputError):
        ImageStore.open(tmp_path / "store")


def test_a_flipped_bit_is_found_when_digests_are_asked_for(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    build(dataset, data, tmp_path / "store")
    shard = tmp_path / "store" / "images-00001.npy"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    store = ImageStore.open(tmp_path / "store")
    with pytest.raises(InputError, match=r"images-00001\.npy was changed"):
        store.verify()


def test_padding_moves_the_boxes_with_the_picture(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    build(dataset, data, tmp_path / "squash")
    build(dataset, data, tmp_path / "pad", resize="pad")
    columns = list("xywh")
    squashed = ImageStore.open(tmp_path / "squash").boxes
    np.testing.assert_allclose(squashed[columns].to_numpy()[0], [0.25, 0.5, 0.5, 0.25])
    padded = ImageStore.open(tmp_path / "pad").boxes
    # The image is 40 × 50, so in a square of 32 it is 26 wide (32 × 0.8) and lies 3 px from the left.
    left, width = 3 / 32, 26 / 32
    np.testing.assert_allclose(padded[columns].to_numpy()[0], [left + 0.25 * width, 0.5, 0.5 * width, 0.25], atol=1e-6)


def test_lateral_views_stay_out_unless_asked_for(dataset: Dataset, data: Data, tmp_path: Path) -> None:
    folder, _, manifest = dataset
    manifest.loc[manifest["patient_id"] == "p1", "view"] = "LATERAL"
    write_manifest(manifest, folder / "manifest.parquet")
    frontal = build(dataset, data, tmp_path / "frontal")
    every = build(dataset, data.model_copy(update={"views": "all"}), tmp_path / "all")
    assert every["count"] - frontal["count"] == (manifest["patient_id"] == "p1").sum()


def test_the_manifest_read_back_is_what_the_store_was_made_from(dataset: Dataset) -> None:
    folder, root, manifest = dataset
    assert len(read_manifest(folder / "manifest.parquet")) == len(manifest)
    assert Image.open(root / manifest["path"][0]).size == (40, 50)


@pytest.mark.real_data
def test_real_radiographs_become_a_store(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Data
) -> None:
    from thorax.datasets.ingest import ingest

    root = real_data / "nih1024"
    ingest(data, root, tmp_path / "ingested")
    info = build_store(data, Split(), SMALL, tmp_path / "ingested", root, tmp_path / "store")
    store = ImageStore.open(tmp_path / "store")
    assert info["skipped"] == 0
    assert 60 < store.images(range(len(store))).mean() < 200


def test_tables_of_any_seed_are_divided(table: Callable[..., pd.DataFrame]) -> None:
    from thorax.preprocessing import splits

    for seed in range(5):
        assert splits.assign(table(40, seed), ("Effusion",), Split()).notna().all()
