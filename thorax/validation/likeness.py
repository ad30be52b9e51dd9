"""Images that look alike, and whether they leak from one split into another."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from thorax.imaging.neighbours import near_pairs

#: Random pairs of different patients by which a dataset's own variety is measured.
_SAMPLE = 50_000


def pairs(
    manifest: pd.DataFrame, told: pd.DataFrame, splits: pd.Series | None, radius: int
) -> tuple[pd.DataFrame, int]:
    """Find pairs of images that look alike.

    Args:
        manifest: its rows, in the order of `told`.
        told: `phash` (hex) and `checks` of each file; blank and unreadable ones are left out.
        splits: image id → split.
        radius: the largest distance of two perceptual hashes, in bits of 256, that counts as alike.

    Returns:
        A row a pair: `key`, `torn` (two splits hold them), `strangers` (two patients); and the radius that was used.
        It is smaller than the one asked for where the images are so alike that chance would give pairs.
    """
    readable = [
        bool(phash) and "blank" not in checks for phash, checks in zip(told["phash"], told["checks"], strict=True)
    ]
    rows = np.flatnonzero(np.array(readable, dtype=bool))
    ids, patients = manifest["image_id"].to_numpy(object), manifest["patient_id"].to_numpy(object)
    if len(rows) < 2:
        return pd.DataFrame({"key": [], "torn": [], "strangers": []}, dtype=object), radius
    hashes = np.frombuffer(bytes.fromhex("".join(told["phash"].iloc[rows])), np.uint8).reshape(len(rows), -1)
    radius = min(radius, chance_radius(hashes, patients[rows]))
    near = near_pairs(hashes, radius)
    first, second = rows[near.first], rows[near.second]
    words = [f"{bits} bits apart" for bits in near.distance]
    where = np.full(len(ids), "", dtype=object) if splits is None else splits.reindex(ids).to_numpy(object)
    frame = pd.DataFrame({"key": [f"{one} / {other}" for one, other in zip(ids[first], ids[second], strict=True)]})
    frame["torn"] = [
        f"{one} and {other}, {word}" if one != other else None
        for one, other, word in zip(where[first], where[second], words, strict=True)
    ]
    frame["strangers"] = [
        f"patients {one} and {other}, {word}" if one != other else None
        for one, other, word in zip(patients[first], patients[second], words, strict=True)
    ]
    return frame.astype(object), radius


def chance_radius(hashes: np.ndarray, patients: np.ndarray) -> int:
    """Return the distance below which chance gives less than one pair of different patients.

    Distances of unrelated images are close to normal. Drawn or simulated chests resemble one another more than real
    ones do; there a hash cannot tell a copy from another patient, and the radius shrinks, down to equality.

    Args:
        hashes: uint8 of shape (N, 32).
        patients: shape (N,).
    """
    count = len(hashes)
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, count, (2, _SAMPLE))
    strangers = patients[first] != patients[second]
    if strangers.sum() < 100:
        return hashes.shape[1] * 8
    distances = np.bitwise_count(hashes[first[strangers]] ^ hashes[second[strangers]]).sum(axis=1)
    share = 1 / (count * (count - 1) / 2)
    return max(0, int(distances.mean() + norm.ppf(share) * distances.std()))
