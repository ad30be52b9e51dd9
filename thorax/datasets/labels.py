"""From published labels to what a network learns and what it is judged by.

A published label is 1 present, 0 absent, −1 uncertain or NaN not mentioned. Training may turn the uncertain ones into
zeros, ones, nothing, or a draw from a range (U-Zeros, U-Ones, U-Ignore: Irvin et al. 2019, AAAI; label smoothing:
Pham et al. 2021, Neurocomputing). Evaluation counts only what is known: an uncertain label is no truth.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from thorax.errors import InputError
from thorax.findings import NO_FINDING, OTHER_FINDING, SHIPPED, Vocabulary
from thorax.manifest import ABSENT, PRESENT, UNCERTAIN, findings_of, label_matrix
from thorax.settings import Data


def class_labels(manifest: pd.DataFrame, data: Data) -> np.ndarray:
    """Return the published labels of `data.classes`, float32 of shape (images, classes): 1, 0, −1 or NaN.

    "No finding" is derived where the dataset publishes none, and "other finding" always: some published disease that
    was not chosen.

    Raises:
        InputError: the dataset publishes no label for a chosen finding.
    """
    columns = []
    for name in data.classes:
        if name in manifest.columns:
            columns.append(label_matrix(manifest, [name]))
        elif name == NO_FINDING:
            columns.append(_none_of(_any_of(manifest, diseases(manifest, data.words))))
        elif name == OTHER_FINDING:
            others = [finding for finding in diseases(manifest, data.words) if finding not in data.findings]
            if not others:
                raise InputError(
                    "There is no other finding: every published finding was chosen.",
                    "Set data.other_finding to exclude, or choose fewer findings.",
                )
            columns.append(_any_of(manifest, others))
        else:
            label_matrix(manifest, [name])  # Refuses, and says what the dataset has.
    return np.concatenate(columns, axis=1)


def follow_hierarchy(manifest: pd.DataFrame, data: Data) -> dict[str, int]:
    """Label each chosen finding present where one that it is a parent of is present; in place.

    Returns:
        Of each finding that changed, the number of images.
    """
    changed = {}
    for parent in data.findings:
        below = [name for name in data.words.descendants(parent) if name in manifest.columns]
        if parent not in manifest.columns or not below:
            continue
        rows = (manifest[below] == PRESENT).any(axis=1) & (manifest[parent] != PRESENT)
        if rows.any():
            manifest.loc[rows, parent] = PRESENT
            changed[parent] = int(rows.sum())
    return changed


def targets(labels: np.ndarray, findings: Sequence[str], data: Data, image_ids: Sequence[str]) -> np.ndarray:
    """Return training targets, float32 of shape (images, findings) in [0, 1]; NaN is left out of the loss.

    Args:
        labels: shape (images, findings): 1, 0, −1 or NaN, as `class_labels` gives them.
        findings: the names of the columns.
        data: `data.uncertain` says what −1 counts as, a finding; `data.not_mentioned` what NaN does.
        image_ids: shape (images,). A smoothed target is a uniform draw that depends on nothing but the image's id and
            the finding, so that it is the same in every run and whatever the order of the rows.

    Raises:
        InputError: the shapes do not match.
    """
    _match(labels, findings, image_ids)
    out = labels.astype(np.float32)
    if data.not_mentioned == "zeros":
        out[np.isnan(labels)] = ABSENT
    for column, finding in enumerate(findings):
        uncertain = np.flatnonzero(labels[:, column] == UNCERTAIN)
        match data.uncertain.of(finding):
            case "zeros":
                out[uncertain, column] = ABSENT
            case "ones":
                out[uncertain, column] = PRESENT
            case "ignore":
                out[uncertain, column] = np.nan
            case "smooth_ones":
                out[uncertain, column] = _draws(image_ids, uncertain, finding, data.uncertain.smooth_ones)
            case "smooth_zeros":
                out[uncertain, column] = _draws(image_ids, uncertain, finding, data.uncertain.smooth_zeros)
    return out


def truth(labels: np.ndarray, data: Data) -> np.ndarray:
    """Return what evaluation counts, float32 of the same shape: 1, 0, or NaN where the truth is not known.

    An uncertain label is NaN under every policy: scores must not depend on a guess. A label that is not mentioned
    counts as absent unless `data.not_mentioned` is `ignore`.
    """
    out = labels.astype(np.float32)
    if data.not_mentioned == "zeros":
        out[np.isnan(labels)] = ABSENT
    out[labels == UNCERTAIN] = np.nan
    return out


def no_finding(manifest: pd.DataFrame, words: Vocabulary = SHIPPED) -> np.ndarray:
    """Return bool of shape (images,): the image is labelled, or shown by its labels, to have no finding."""
    if NO_FINDING in manifest.columns:
        return np.asarray(manifest[NO_FINDING] == PRESENT, dtype=bool)
    return np.asarray(_none_of(_any_of(manifest, diseases(manifest, words)))[:, 0] == PRESENT, dtype=bool)


def diseases(manifest: pd.DataFrame, words: Vocabulary = SHIPPED) -> tuple[str, ...]:
    """Return the finding columns that name a disease: not "no finding", "other finding", a device or an artefact."""
    return tuple(name for name in findings_of(manifest) if words.kind(name) == "finding" and name != OTHER_FINDING)


def _any_of(manifest: pd.DataFrame, findings: Sequence[str]) -> np.ndarray:
    """Shape (images, 1): 1 if one is present, else −1 if one is uncertain, else 0; NaN if none is mentioned."""
    values = label_matrix(manifest, findings)
    known = ~np.isnan(values)
    found = np.where(
        (values == PRESENT).any(axis=1), PRESENT, np.where((values == UNCERTAIN).any(axis=1), UNCERTAIN, ABSENT)
    )
    return np.where(known.any(axis=1), found, np.nan).astype(np.float32)[:, None]


def _none_of(some: np.ndarray) -> np.ndarray:
    """Turn "any of them" into "none of them"; uncertain and unknown stay."""
    return np.where(some == PRESENT, ABSENT, np.where(some == ABSENT, PRESENT, some)).astype(np.float32)


def _draws(image_ids: Sequence[str], rows: np.ndarray, finding: str, bounds: tuple[float, float]) -> np.ndarray:
    """Uniform draws within bounds, one a row, from a hash of image id and finding."""
    low, high = bounds
    ids = np.asarray(image_ids, dtype=object)[rows]
    hashes = (hashlib.blake2b(f"{finding}\0{name}".encode(), digest_size=8).digest() for name in ids)
    unit = np.fromiter((int.from_bytes(value, "big") / 2**64 for value in hashes), np.float64, len(rows))
    return (low + (high - low) * unit).astype(np.float32)


def _match(labels: np.ndarray, findings: Sequence[str], image_ids: Sequence[str]) -> None:
    if labels.shape != (len(image_ids), len(findings)):
        raise InputError(
            f"Labels of shape {labels.shape} do not match {len(image_ids)} images and {len(findings)} findings."
        )
