"""Pictures that look alike, found among a hundred thousand hashes without comparing all pairs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from thorax.imaging.hashing import BITS

# Sixteen bands of sixteen bits (multi-index hashing: Norouzi, Punjani & Fleet 2012, CVPR). Where two hashes differ in r
# bits, at most r // 2 bands differ in more than one; so among any r // 2 + 1 bands one differs in at most one bit, and
# only pairs with such a band are compared.
_BANDS, _WIDTH = 16, 16
#: The largest distance for which every pair is sure to be found.
MAX_RADIUS = 2 * _BANDS - 1
#: Pairs returned at most; a dataset of copies has more than anyone reads.
MAX_PAIRS = 1_000_000
_AT_ONCE = 400_000
# Neighbouring frequencies go together in radiographs; bands of scattered bits are fuller of surprise, and smaller.
_ORDER = np.random.default_rng(256).permutation(BITS)


class Pairs(NamedTuple):
    """Pairs of hashes: `first` < `second` are rows, `distance` is in bits; sorted."""

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray


def near_pairs(hashes: np.ndarray, radius: int) -> Pairs:
    """Find all pairs of hashes within a Hamming distance.

    Of equal hashes each is paired with the first of them, not with one another, and only the first with others.

    Args:
        hashes: uint8 of shape (N, 32), as `perceptual_hash` gives them.
        radius: in bits, 0 to `MAX_RADIUS`.

    Raises:
        ValueError: a radius beyond what the index is sure of.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"The radius must lie in 0 to {MAX_RADIUS}, not {radius}.")
    unique, first_of, which = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    rows = np.arange(len(hashes))
    copies = rows[first_of[which] != rows]
    words = np.ascontiguousarray(unique).view(np.uint64)
    found = {0: (first_of[which[copies]], copies, np.zeros(len(copies), dtype=np.int64))}
    total = len(copies)
    bits = np.unpackbits(unique, axis=1)[:, _ORDER].astype(np.int64)
    for band in range(radius // 2 + 1):
        keys: np.ndarray = bits[:, band * _WIDTH : (band + 1) * _WIDTH] @ (1 << np.arange(_WIDTH))
        hits = [_close(words, left, right, radius) for left, right in _candidates(keys)]
        found[band + 1] = tuple(np.concatenate(part) for part in zip(*hits, strict=True))  # type: ignore[assignment]
        total += len(found[band + 1][0])
        if total > _BANDS * MAX_PAIRS:
            break
    left, right, distance = (np.concatenate(part) for part in zip(*found.values(), strict=True))
    # From rows of `unique` to rows of `hashes`; the copies are such already.
    left[len(copies) :], right[len(copies) :] = first_of[left[len(copies) :]], first_of[right[len(copies) :]]
    low, high = np.minimum(left, right), np.maximum(left, right)
    _, chosen = np.unique(low * np.int64(len(hashes)) + high, return_index=True)
    chosen = chosen[:MAX_PAIRS]
    return Pairs(low[chosen], high[chosen], distance[chosen])


def _close(words: np.ndarray, left: np.ndarray, right: np.ndarray, radius: int) -> tuple[np.ndarray, ...]:
    """Keep the pairs within the radius; half of the bits rule out nearly all others."""
    distance = np.bitwise_count(words[left, 0] ^ words[right, 0]).astype(np.int64)
    for word in range(1, words.shape[1]):
        keep = distance <= radius
        left, right, distance = left[keep], right[keep], distance[keep]
        distance += np.bitwise_count(words[left, word] ^ words[right, word])
    keep = distance <= radius
    return left[keep], right[keep], distance[keep]


def _candidates(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of rows whose keys are equal or differ in one bit, each once, some millions at a time."""
    order = np.argsort(keys, kind="stable").astype(np.int32)
    ordered = keys[order]
    starts = np.searchsorted(ordered, np.arange((1 << _WIDTH) + 1)).astype(np.int32)
    places = np.arange(len(keys), dtype=np.int32)
    for bit in range(-1, _WIDTH):
        partners = ordered if bit < 0 else ordered ^ (1 << bit)
        # Behind the row itself among equals; else, each unequal pair from its smaller key.
        begin = places + 1 if bit < 0 else starts[partners]
        counts = np.where(partners >= ordered, starts[partners + 1] - begin, 0)
        totals = np.cumsum(counts)
        low = 0
        while low < len(keys):
            done = totals[low - 1] if low else 0
            high = max(low + 1, int(np.searchsorted(totals, done + _AT_ONCE, side="right")))
            size = counts[low:high]
            left = np.repeat(places[low:high], size)
            # Consecutive places from each row's first partner on.
            right = np.repeat(begin[low:high] - (np.cumsum(size) - size).astype(np.int32), size)
            right += np.arange(len(right), dtype=np.int32)
            yield order[left], order[right]
            low = high
