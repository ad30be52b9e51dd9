"""A reference without a network: logistic regression on histograms of oriented gradients."""

from typing import Any

import numpy as np

from thorax.training.scoring import aurocs

#: Pixels a side of a cell, cells a side of a block, and bins of unsigned orientation (Dalal and Triggs 2005).
_CELL, _BLOCK, _BINS = 16, 2, 9
#: Images that are worked on together; more would only take memory.
_CHUNK = 64
#: Strengths of the inverse of regularisation that are tried on the validation split.
_STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)


def hog(images: np.ndarray) -> np.ndarray:
    """Return histograms of oriented gradients (Dalal and Triggs 2005, CVPR) with L2-Hys blocks.

    Args:
        images: (N, S, S), uint8 or float; S is cut to whole cells of 16 px.

    Returns:
        (N, D) float32.
    """
    parts = [_hog(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
    return np.concatenate(parts).astype(np.float32)


def _hog(images: np.ndarray) -> np.ndarray:
    values = np.sqrt(np.asarray(images, dtype=np.float32))  # gamma compression, as its authors advise
    down, across = np.zeros_like(values), np.zeros_like(values)
    down[:, 1:-1] = values[:, 2:] - values[:, :-2]
    across[:, :, 1:-1] = values[:, :, 2:] - values[:, :, :-2]
    strength = np.hypot(down, across)
    place = (np.arctan2(down, across) % np.pi) / np.pi * _BINS - 0.5
    low = np.floor(place)
    share = place - low
    cells = values.shape[1] // _CELL
    histograms = np.zeros((len(values), cells, cells, _BINS), dtype=np.float32)
    for number in range(_BINS):
        # A gradient's strength is divided between the two nearest bins; orientation goes round.
        weight = np.where(low % _BINS == number, 1 - share, 0) + np.where((low + 1) % _BINS == number, share, 0)
        votes = (strength * weight)[:, : cells * _CELL, : cells * _CELL]
        histograms[..., number] = votes.reshape(len(values), cells, _CELL, cells, _CELL).sum(axis=(2, 4))
    edge = cells - _BLOCK + 1
    corners = [(row, column) for row in range(_BLOCK) for column in range(_BLOCK)]
    blocks = np.concatenate([histograms[:, r : r + edge, c : c + edge] for r, c in corners], axis=3)
    for _ in range(2):
        blocks = blocks / np.sqrt(np.square(blocks).sum(axis=3, keepdims=True) + 1e-6)
        blocks = np.minimum(blocks, 0.2)
    return blocks.reshape(len(values), -1) / 0.2


def logistic_scores(store: Any) -> np.ndarray:
    """Fit one logistic regression a finding on the train split and score the test split.

    The strength of the regularisation is the one whose mean AUROC on the validation split is highest.

    Returns:
        (n, F) decision values for the test split, in the order of the store.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = {split: store.indices(split) for split in ("train", "validation", "test")}
    features = {split: hog(store.images(indices)) for split, indices in rows.items()}
    scaler = StandardScaler().fit(features["train"])
    inputs = {split: scaler.transform(found) for split, found in features.items()}
    targets = store.targets(rows["train"])
    best, chosen = -np.inf, np.zeros((len(rows["test"]), targets.shape[1]))
    for strength in _STRENGTHS:
        scores = {split: np.zeros((len(rows[split]), targets.shape[1])) for split in ("validation", "test")}
        for column in range(targets.shape[1]):
            known = ~np.isnan(targets[:, column])
            labels = targets[known, column] > 0.5
            if labels.all() or not labels.any():
                continue
            model = LogisticRegression(C=strength, max_iter=500).fit(inputs["train"][known], labels)
            for split, filled in scores.items():
                filled[:, column] = model.decision_function(inputs[split])
        areas = aurocs(store.truth(rows["validation"]), scores["validation"], store.findings)
        mean = float(np.mean(list(areas.values()))) if areas else 0.0
        if mean > best:
            best, chosen = mean, scores["test"]
    return chosen
