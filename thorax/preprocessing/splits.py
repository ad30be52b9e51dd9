"""Patient-safe splits: a patient's images stay together, and every finding is spread as evenly as can be."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from thorax.datasets import confirmed
from thorax.errors import InputError
from thorax.manifest import PRESENT, SPLITS, label_matrix
from thorax.settings import Split


def assign(manifest: pd.DataFrame, findings: Sequence[str], split: Split) -> pd.Series:
    """Assign every image to train, validation, calibration or test, by patient.

    Iterative stratification (Sechidis et al. 2011) over what each patient ever shows: findings present, views, sex,
    age group, and how many images there are. The same manifest and settings give the same splits, whatever the order
    of the rows. Confirmed cases keep the split that they came with and change nobody else's, so that a model which
    learns from more of them is tested on the same patients as the one before it.

    Args:
        manifest: rows of images.
        findings: those to balance; one that the manifest does not hold (a derived one) is left out.
        split: method, shares and seed. "official" keeps the publisher's test list and divides the other patients.

    Returns:
        Series "split" of the names in `thorax.manifest.SPLITS`, indexed by image id, in the manifest's order.

    Raises:
        InputError: fewer patients than splits; or "official" without a list, or with a patient on both sides of it.
    """
    arrived = confirmed.among(manifest)
    base = manifest[~arrived]
    patients, traits = _traits(base, findings)
    shares = np.array([split.train, split.validation, split.calibration, split.test])
    if len(patients) < np.count_nonzero(shares):
        raise InputError(f"{len(patients)} patients cannot be divided into {np.count_nonzero(shares)} splits.")
    if split.method == "official":
        tested = _official_test(base, patients)
        folds = np.full(len(patients), SPLITS.index("test"))
        folds[~tested] = _stratify(traits[~tested], shares[:3] / shares[:3].sum(), split.seed)
    else:
        folds = _stratify(traits, shares, split.seed)
    of_patient = pd.Series(np.array(SPLITS)[folds], index=patients)
    values = manifest["patient_id"].map(of_patient).astype(object)
    if arrived.any():
        # A patient whom the dataset knows already stays where they are.
        values = values.where(values.notna(), manifest["official_split"].astype(object))
    return pd.Series(values.to_numpy(), index=pd.Index(manifest["image_id"].to_numpy(), name="image_id"), name="split")


def shortages(manifest: pd.DataFrame, assigned: pd.Series, findings: Sequence[str]) -> list[str]:
    """Return a sentence for each split that holds no positive, or no negative, of a finding."""
    splits = assigned.reindex(manifest["image_id"]).to_numpy()
    sentences = []
    for finding in findings:
        if finding not in manifest:
            continue
        present = (manifest[finding] == PRESENT).to_numpy()
        for name in SPLITS:
            here = present[splits == name]
            if len(here) and not here.any():
                sentences.append(f"The {name} split holds no image with {finding}.")
            elif len(here) and here.all():
                sentences.append(f"Every image of the {name} split shows {finding}.")
    return sentences


def table(manifest: pd.DataFrame, assigned: pd.Series, findings: Sequence[str]) -> pd.DataFrame:
    """Return images, patients and positives of each finding, a row a split."""
    frame = manifest.assign(split=assigned.reindex(manifest["image_id"]).to_numpy())
    held = [name for name in findings if name in manifest]
    frame[held] = frame[held] == PRESENT
    grouped = frame.groupby("split")
    counts = grouped.agg(images=("image_id", "size"), patients=("patient_id", "nunique"))
    return counts.join(grouped[held].sum()).reindex(SPLITS, fill_value=0).astype(int)


def _traits(manifest: pd.DataFrame, findings: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return patients, sorted, and bool traits of shape (patients, traits): what any image of a patient shows."""
    held = [name for name in findings if name in manifest]
    present = label_matrix(manifest, held) == PRESENT
    traits = {name: present[:, column] for column, name in enumerate(held)}
    for column in ("view", "sex"):
        values = manifest[column].astype(str)
        traits |= {f"{column} {value}": (values == value).to_numpy() for value in sorted(values.unique())}
    age = manifest["age"].to_numpy(dtype=np.float32)
    for low, high in ((0, 18), (18, 40), (40, 60), (60, np.inf)):
        traits[f"age from {low}"] = (age >= low) & (age < high)
    patient = manifest["patient_id"].astype(str)
    images = patient.map(patient.value_counts()).to_numpy()
    # Shares are of patients; without these, the few with many images would decide how large a split is.
    for low, high in ((2, 4), (4, 8), (8, 16), (16, 32), (32, np.inf)):
        traits[f"{low} images or more"] = (images >= low) & (images < high)
    grouped = pd.DataFrame(traits).groupby(patient.to_numpy(), sort=True).any()
    return grouped.index.to_numpy(), grouped.to_numpy(dtype=bool)


def _stratify(traits: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each patient, in the order of `shares`."""
    from iterstrat.ml_stratifiers import IterativeStratification

    open_folds = np.flatnonzero(shares)
    state = np.random.RandomState(seed)
    # The algorithm draws only to break ties; the order of the patients is what the seed must change.
    order = state.permutation(len(traits))
    folds = np.empty(len(traits), dtype=int)
    folds[order] = open_folds[IterativeStratification(traits[order], shares[open_folds], state)]
    return folds


def _official_test(manifest: pd.DataFrame, patients: np.ndarray) -> np.ndarray:
    """Return which patients stand on the publisher's test list."""
    named = manifest["official_split"].fillna("").astype(str)
    if not (named == "test").any():
        raise InputError(
            "The dataset gives no official test list.",
            "Put test_list.txt beside its table, or set split.method to stratified.",
        )
    sides = named.eq("test").groupby(manifest["patient_id"].astype(str).to_numpy()).agg(["any", "all"])
    torn = sides.index[sides["any"] & ~sides["all"]]
    if len(torn):
        raise InputError(
            f"The official lists tear patient {torn[0]!r} apart ({len(torn)} patients in all): some images are in the"
            " test list and some are not.",
            "Correct the lists, or set split.method to stratified.",
        )
    return sides["all"].reindex(patients).to_numpy(dtype=bool)
