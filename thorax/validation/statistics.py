"""Facts about a dataset for the page and for `result.json`: counts, prevalences, ages, views, sizes."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from thorax.manifest import ABSENT, PRESENT, SPLITS, UNCERTAIN, findings_of
from thorax.settings import Data

_AGE_STEP = 10


def describe(
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    data: Data,
    splits: pd.Series | None,
    told: pd.DataFrame | None,
) -> dict[str, Any]:
    """Return the facts, ready for JSON.

    `prevalence` counts labels a published finding (present, absent, uncertain, missing, and whether it was chosen);
    `ages` counts images a decade; `co_occurrence` counts images with both findings; `sizes` are the most frequent.
    """
    names = list(findings_of(manifest))
    values = manifest[names].apply(pd.to_numeric, errors="coerce")
    counts = [
        {
            "finding": name,
            "chosen": name in data.classes,
            "present": int((values[name] == PRESENT).sum()),
            "absent": int((values[name] == ABSENT).sum()),
            "uncertain": int((values[name] == UNCERTAIN).sum()),
            "missing": int(values[name].isna().sum()),
        }
        for name in names
    ]
    present = (values == PRESENT).to_numpy(dtype=np.int64)
    ages = pd.to_numeric(manifest["age"], errors="coerce").dropna()
    decades = Counter((ages.clip(0, 119) // _AGE_STEP * _AGE_STEP).astype(int).tolist())
    facts: dict[str, Any] = {
        "images": len(manifest),
        "patients": int(manifest["patient_id"].nunique()),
        "boxes": len(boxes),
        "images_a_patient": float(len(manifest) / max(1, manifest["patient_id"].nunique())),
        "prevalence": counts,
        "co_occurrence": {"findings": names, "counts": (present.T @ present).tolist()},
        "views": _counts(manifest["view"]),
        "sexes": _counts(manifest["sex"]),
        "ages": {str(decade): decades[decade] for decade in range(0, max(decades, default=0) + 1, _AGE_STEP)},
        "sizes": _counts(manifest["width"].astype(str) + " × " + manifest["height"].astype(str)),
    }
    if splits is not None:
        where = splits.reindex(manifest["image_id"]).to_numpy()
        patients = manifest.groupby(where)["patient_id"].nunique()
        facts["splits"] = {
            name: {"images": int((where == name).sum()), "patients": int(patients.get(name, 0))} for name in SPLITS
        }
    if told is not None:
        readable = told[told["reason"] == ""]
        facts["readable"] = len(readable)
        facts["bits"] = {str(bits): int(count) for bits, count in readable["bits"].value_counts().sort_index().items()}
        facts["checks"] = dict(Counter(name for found in readable["checks"] for name in found).most_common())
    return facts


def _counts(values: pd.Series, most: int = 12) -> dict[str, int]:
    counted = values.fillna("missing").astype(str).value_counts()
    return {str(name): int(count) for name, count in counted.head(most).items()}
