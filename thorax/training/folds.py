"""Folds of a cross-validation: by patient, all findings balanced at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thorax.errors import InputError


def assign_folds(patients: np.ndarray, truth: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Give every image the fold of its patient.

    Args:
        patients: (n,), of each image.
        truth: (n, F), 1, 0 or NaN; a patient has a finding that any of the patient's images has.
        folds: how many.
        seed: of the shuffle.

    Returns:
        (n,) int, from 0; iterative stratification (Sechidis et al. 2011) balances every finding over the folds.

    Raises:
        InputError: fewer patients than folds.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    names, inverse = np.unique(patients, return_inverse=True)
    if len(names) < folds:
        raise InputError(f"{len(names)} patients cannot be divided into {folds} folds.", "Take fewer folds.")
    labels = np.zeros((len(names), truth.shape[1] + 1), dtype=int)
    np.maximum.at(labels, inverse, np.column_stack([np.nan_to_num(truth) > 0.5, np.ones(len(truth))]).astype(int))
    of_patient = np.empty(len(names), dtype=int)
    dealer = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    for number, (_, held) in enumerate(dealer.split(np.zeros(len(names)), labels)):
        of_patient[held] = number
    return of_patient[inverse]


def with_fold(store: Any, fold_of: np.ndarray, fold: int, seed: int, *, shuffled: bool = False) -> Any:
    """Return a store whose test split is one fold; of the others' patients an eighth validates and the rest trains.

    Args:
        store: an open `ImageStore`.
        fold_of: (n,), from `assign_folds`.
        fold: which one is held out.
        seed: by which validation patients are drawn, and labels shuffled.
        shuffled: deal the labels out anew among the images that are not held out: a control that must learn nothing.
    """
    rows = store.rows.copy()
    patients = rows["patient_id"].to_numpy()
    held = fold_of == fold
    random = np.random.default_rng([seed, fold])
    others = random.permutation(np.unique(patients[~held]))
    validating = np.isin(patients, others[: max(1, len(others) // 8)])
    rows["split"] = np.where(held, "test", np.where(validating, "validation", "train"))
    if shuffled:
        labels = [name for name in rows.columns if str(name).startswith(("target:", "truth:"))]
        order = random.permutation(np.flatnonzero(~held))
        rows.loc[~held, labels] = rows[labels].to_numpy()[order]
    return replace(store, rows=rows)


def ranks_within(scores: np.ndarray, groups: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return scores as shares of their group that lie below, 0 to 1, so that those of different networks can be pooled.

    Args:
        scores: (n, F).
        groups: (n,), the network that gave each row.
    """
    from scipy.stats import rankdata

    ranked = np.empty_like(scores, dtype=np.float64)
    for group in np.unique(groups):
        mine = np.asarray(groups) == group
        ranked[mine] = (rankdata(scores[mine], axis=0) - 0.5) / mine.sum()
    return ranked
