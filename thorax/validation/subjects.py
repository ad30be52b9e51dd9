"""The tables that expectations look at, made from manifest, boxes, splits and the scan of the images.

A cell of a fault column is empty where all is well, and else says what is wrong: a failing row explains itself.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from thorax.files import read_json
from thorax.findings import SHIPPED, Vocabulary
from thorax.manifest import ABSENT, PRESENT, SPLITS, UNCERTAIN, findings_of, label_matrix

# A box may reach this far over the edge, as a fraction of the image: published coordinates are rounded.
_EDGE = 0.005


def images(manifest: pd.DataFrame, words: Vocabulary = SHIPPED) -> pd.DataFrame:
    """Return what the table alone shows, a row an image, keyed by image id."""
    frame = manifest[["image_id", "path", "patient_id", "view", "sex", "age"]].copy()
    # GX compares plain objects several times faster than pandas' string type.
    text = ["image_id", "path", "patient_id", "view", "sex"]
    frame[text] = frame[text].astype(object).where(frame[text].notna(), None)
    frame["label_fault"] = label_faults(manifest)
    frame["contradiction"] = contradictions(manifest, words)
    frame["path_fault"] = path_faults(frame["path"])
    frame["finding_in_path"] = findings_in_path(frame["path"], words)
    frame["misnamed"] = misnamed(frame["image_id"], frame["patient_id"])
    duplicated = manifest["sha256"].fillna("").astype(str)
    frame["sha256"] = duplicated.where(duplicated != "", None).astype(object)
    return frame


def label_faults(manifest: pd.DataFrame) -> pd.Series:
    """Name labels other than 1, 0, −1 and none: "Effusion=3"."""
    names = findings_of(manifest)
    numbers = manifest[list(names)].apply(pd.to_numeric, errors="coerce")
    words = manifest[list(names)].notna().to_numpy() & numbers.isna().to_numpy()
    wrong = words | ~(numbers.isna() | numbers.isin([PRESENT, ABSENT, UNCERTAIN])).to_numpy()
    return _sentences(wrong, lambda row, column: f"{names[column]}={manifest[names[column]].iloc[row]}")


def contradictions(manifest: pd.DataFrame, words: Vocabulary = SHIPPED) -> pd.Series:
    """Name the pairs of findings that exclude each other and stand on one image."""
    names = findings_of(manifest)
    pairs = [pair for pair in itertools.combinations(names, 2) if words.exclude(*pair)]
    if not pairs:
        return pd.Series([None] * len(manifest), dtype=object)
    present = {name: (manifest[name] == PRESENT).to_numpy() for name in {name for pair in pairs for name in pair}}
    both = np.stack([present[one] & present[other] for one, other in pairs], axis=1)
    return _sentences(both, lambda row, column: f"{pairs[column][0]} and {pairs[column][1]}")


def path_faults(paths: pd.Series) -> pd.Series:
    """Say which paths are empty, absolute, or lead out of the data root."""
    text = paths.fillna("").astype(str)
    empty = text.str.strip() == ""
    outside = text.str.contains(r"^(?:/|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)|\\", regex=True)
    faults = ("leads out of the data root: " + text).astype(object).where(outside & ~empty, None)
    return faults.mask(empty, "no path")


def findings_in_path(paths: pd.Series, names: Iterable[str] = SHIPPED) -> pd.Series:
    """Name the finding that a path gives away."""
    words = sorted({name.lower().replace("_", "[ _-]?") for name in names}, key=len, reverse=True)
    text = paths.fillna("").astype(str).str.lower()
    found = text.str.extract(f"({'|'.join(words)})", expand=False)
    return found.astype(object).where(found.notna(), None)


def misnamed(image_ids: pd.Series, patients: pd.Series) -> pd.Series:
    """Say which images named as NIH names them, `<patient>_<study>.png`, stand under another patient."""
    named = image_ids.fillna("").astype(str).str.extract(r"^0*(\d+)_\d{3}\.\w+$", expand=False)
    listed = patients.fillna("").astype(str)
    wrong = named.notna() & listed.str.fullmatch(r"\d+") & (named != listed)
    return ("patient " + listed).astype(object).where(wrong, None)


def pictures(manifest: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Return what the files told, a row an image: a fault column a check, empty where all is well.

    Args:
        manifest: its rows, in the order of `told`.
        told: `reason`, `width`, `height`, `sha256` and `checks` (name → sentence) of each file.
    """
    readable = (told["reason"] == "").to_numpy()
    listed = manifest[["width", "height"]].to_numpy()
    found = told[["width", "height"]].to_numpy()
    other_size = readable & (listed != found).any(axis=1)
    digests = manifest["sha256"].fillna("").astype(str).to_numpy(object)
    other_file = (digests != "") & (told["sha256"].to_numpy(object) != digests)
    frame = pd.DataFrame({"image_id": manifest["image_id"].astype(object).to_numpy()})
    frame["unreadable"] = told["reason"].astype(object).where(~readable, None).to_numpy(object)
    frame["resized"] = _sentences(
        other_size[:, None],
        lambda row, _: "{} × {}, not {} × {} as listed".format(*found[row], *listed[row]),
    )
    frame["changed"] = _where(other_file, "its SHA-256 is another")
    checks = told["checks"].tolist()
    frame["unsound"] = pd.Series(["; ".join(each.values()) or None for each in checks], dtype=object)
    for name in CHECKS:
        frame[name] = pd.Series([each.get(name) for each in checks], dtype=object)
    return frame


#: Checks of `thorax.imaging.checks`, in the order of the page.
CHECKS = ("size", "blank", "levels", "saturated", "colour", "inverted", "rotated", "chest")


def patients(manifest: pd.DataFrame, splits: pd.Series | None) -> pd.DataFrame:
    """Return a row a patient: how many splits hold him, which sexes he is given, how far his ages spread."""
    frame = manifest[["patient_id", "sex", "age"]].copy()
    frame["patient_id"] = frame["patient_id"].astype(str)
    frame["split"] = None if splits is None else splits.reindex(manifest["image_id"]).to_numpy()
    grouped = frame.groupby("patient_id", sort=True)
    result = pd.DataFrame({"splits": grouped["split"].nunique()})
    known = frame[frame["sex"].isin(["F", "M"])]
    sexes = known.groupby("patient_id")["sex"].nunique().reindex(result.index, fill_value=0)
    result["two_sexes"] = _where(sexes > 1, "F and M")
    ages = grouped["age"].agg(["min", "max"])
    result["age_span"] = (ages["max"] - ages["min"]).to_numpy()
    return result.reset_index()


def findings(labels: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row a chosen finding: how many labels are 1, 0, −1 and none, and their shares.

    Args:
        labels: shape (images, classes): 1, 0, −1 or NaN.
        classes: the names of the columns.
    """
    count = max(1, len(labels))
    present, absent = (labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)
    uncertain, missing = (labels == UNCERTAIN).sum(axis=0), np.isnan(labels).sum(axis=0)
    return pd.DataFrame(
        {
            "finding": list(classes),
            "positives": present,
            "others": count - present,
            "absent": absent,
            "prevalence": present / count,
            "uncertain_share": uncertain / count,
            "missing_share": missing / count,
        }
    )


def split_counts(
    manifest: pd.DataFrame, splits: pd.Series, labels: np.ndarray, classes: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return patients a split, and positives a split and finding."""
    where = splits.reindex(manifest["image_id"]).to_numpy()
    counts = manifest.groupby(where)["patient_id"].nunique().reindex(SPLITS, fill_value=0)
    sizes = pd.DataFrame({"split": list(SPLITS), "patients": counts.to_numpy()})
    positives = (
        pd.DataFrame(labels == PRESENT, columns=list(classes)).groupby(where).sum().reindex(SPLITS, fill_value=0)
    )
    long = positives.rename_axis("split").reset_index().melt("split", var_name="finding", value_name="positives")
    long.insert(0, "key", long["split"] + " / " + long["finding"])
    return sizes, long


def boxes(table: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a row a box, keyed by image and finding: what is wrong with it, and whether the labels agree."""
    frame = table.reset_index(drop=True)
    result = pd.DataFrame({"key": frame["image_id"].astype(str) + " / " + frame["finding"].astype(str)})
    x, y, w, h = (pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float) for name in "xywh")
    place = [f"x={a:.3f} y={b:.3f} w={c:.3f} h={d:.3f}" for a, b, c, d in zip(x, y, w, h, strict=True)]
    with np.errstate(invalid="ignore"):
        inside = (x >= -_EDGE) & (y >= -_EDGE) & (x + w <= 1 + _EDGE) & (y + h <= 1 + _EDGE) & (w > 0) & (h > 0)
    result["outside"] = np.where(inside, np.array(None, dtype=object), np.array(place, dtype=object))
    result["unlisted"] = _where(~frame["image_id"].isin(set(manifest["image_id"])), "no such image")
    published = set(findings_of(manifest))
    result["unknown"] = frame["finding"].astype(object).mask(frame["finding"].isin(published), None)
    result["repeated"] = _where(frame.duplicated(), "stands twice")
    lookup = manifest.set_index("image_id")
    row = lookup.index.get_indexer(frame["image_id"])
    names = list(findings_of(manifest))
    column = pd.Index(names).get_indexer(frame["finding"])
    matrix = label_matrix(manifest, names)
    known = (row >= 0) & (column >= 0)
    given = np.full(len(frame), np.nan)
    given[known] = matrix[row[known], column[known]]
    result["unlabelled"] = _where(known & (given == ABSENT), "the image's labels do not name the finding")
    return result


def synthetic(note: Path) -> bool:
    """Say whether the images are phantoms, as ingest's `dataset.json` says."""
    return note.is_file() and read_json(note).get("synthetic") is True


def left_out(note: Path) -> dict[str, pd.DataFrame]:
    """Return what ingest left out, as its `dataset.json` says: rows without a file, files without a row."""
    facts = read_json(note) if note.is_file() else {}
    missing, unlisted = int(facts.get("missing_images", 0)), int(facts.get("unlisted_images", 0))
    named = list(facts.get("missing_examples", []))[:missing]
    rest = [f"and {missing - len(named):,} more"] if missing > len(named) else []
    gone = pd.DataFrame({"image_id": [*named, *rest]}, dtype=object)
    gone["fault"] = "its file is not in the data root"
    stray = pd.DataFrame(
        {"key": ["image files"] if unlisted else [], "fault": [f"{unlisted:,} of them"] * bool(unlisted)}
    )
    return {"missing": gone.astype(object), "unlisted": stray.astype(object)}


def _where(fault: pd.Series | np.ndarray, words: str) -> np.ndarray:
    """Return `words` where there is a fault, else None."""
    out = np.full(len(fault), None, dtype=object)
    out[np.asarray(fault, dtype=bool)] = words
    return out


def _sentences(where: np.ndarray, word: Callable[[int, int], str]) -> pd.Series:
    """Join the words of all true cells of each row; None for a row without any."""
    out: list[str | None] = [None] * len(where)
    for row in np.flatnonzero(where.any(axis=1)):
        out[row] = ", ".join(word(int(row), int(column)) for column in np.flatnonzero(where[row]))
    return pd.Series(out, dtype=object)
