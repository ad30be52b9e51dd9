"""Many images over processes: in order, complete, and going on when one of them kills its reader."""

import hashlib
import os
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from thorax.imaging import hashing, scan, to_network_input

RECIPE = scan.Recipe(size=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(120):
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / f"{number:03}.png")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def test_one_decode_tells_all(folder: Path) -> None:
    found = scan.scan_one(folder, "007.png", RECIPE)
    pixels = np.asarray(Image.open(folder / "007.png")).astype(np.float32) / 255
    assert found.reason is None
    assert (found.width, found.height, found.bits) == (64, 64, 8)
    assert found.sha256 == hashlib.sha256((folder / "007.png").read_bytes()).hexdigest()
    assert found.phash == hashing.perceptual_hash(pixels)
    np.testing.assert_array_equal(found.pixels, to_network_input(pixels, 32))


def test_processes_give_what_one_process_gives_in_the_same_order(folder: Path) -> None:
    (folder / "050.png").write_bytes(b"no image")
    paths = [*names(folder), "missing.png"]
    alone = list(scan.scan(folder, paths, RECIPE, workers=1))
    together = list(scan.scan(folder, paths, RECIPE, workers=2))
    assert [result.path for result in together] == paths
    for one, two in zip(alone, together, strict=True):
        assert (one.reason, one.phash, one.sha256) == (two.reason, two.phash, two.sha256)
        assert np.array_equal(one.pixels, two.pixels)
    assert [result.path for result in together if result.reason] == ["050.png", "missing.png"]


def crash_on_some(root: Path, path: str, recipe: scan.Recipe) -> scan.Scanned:
    if path in ("033.png", "090.png"):
        os._exit(139)  # as a segmentation fault in a decoder would
    return original(root, path, recipe)


original = scan.scan_one


def start_with_the_crash() -> None:
    scan.scan_one = crash_on_some


@pytest.mark.slow
def test_a_file_that_kills_its_reader_is_named_and_all_others_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    def pool(processes: int) -> ProcessPoolExecutor:
        # Forked, so that the children inherit the reader that crashes.
        return ProcessPoolExecutor(
            processes, mp_context=multiprocessing.get_context("fork"), initializer=start_with_the_crash
        )

    monkeypatch.setattr(scan, "_pool", pool)
    results = list(scan.scan(folder, names(folder), RECIPE, workers=2))
    assert [result.path for result in results] == names(folder)
    reasons = {result.path: result.reason for result in results if result.reason}
    assert set(reasons) == {"033.png", "090.png"}
    assert "crashed the decoder" in reasons["033.png"]


def test_the_hash_agrees_with_the_imagehash_library(chest: np.ndarray) -> None:
    picture = Image.fromarray(np.rint(chest.clip(0, 1) * 255).astype(np.uint8)).resize((512, 512))
    theirs = imagehash.phash(picture, hash_size=16).hash.ravel()
    ours = np.unpackbits(np.frombuffer(hashing.perceptual_hash(np.asarray(picture) / np.float32(255)), np.uint8))
    assert (theirs != ours).sum() <= 20, "of 256; they shrink by another filter"


def test_the_hash_survives_what_does_not_change_the_picture(chest: np.ndarray) -> None:
    def distance(a: np.ndarray, b: np.ndarray) -> int:
        first, second = hashing.perceptual_hash(a), hashing.perceptual_hash(b)
        return (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()

    pixels = chest.clip(0, 1)
    half = np.asarray(Image.fromarray(pixels).resize((64, 80), Image.Resampling.BOX))
    assert distance(pixels, half) <= 8
    assert distance(pixels, 0.1 + 0.7 * pixels) <= 8
    assert distance(pixels, pixels[:, ::-1].copy()) > 40
    assert distance(pixels, pixels[::-1].copy()) > 40
