"""What changed between two revisions of a dataset: images, labels, boxes, and how frequent each finding is."""

from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from thorax.datasets.revisions import Revision
from thorax.manifest import ABSENT, PRESENT, UNCERTAIN, findings_of, label_matrix

_WORDS = {PRESENT: "present", ABSENT: "absent", UNCERTAIN: "uncertain"}
#: Rows of each list that the page shows; the JSON holds all.
SHOWN = 200


@dataclass(frozen=True)
class Difference:
    """What changed.

    Attributes:
        before: name and digest of the older revision.
        after: name and digest of the newer one.
        images: how many there were and are.
        patients: how many there were and are.
        boxes: how many there were and are.
        added: images that are new.
        removed: images that are gone.
        changed: images whose file has other content.
        reassigned: images that stand under another patient: (image, before, after).
        relabelled: (image, finding, before, after) a label that changed.
        findings: a row a finding: images with it and their share then and now; None where it is not published.
    """

    before: tuple[str, str]
    after: tuple[str, str]
    images: tuple[int, int]
    patients: tuple[int, int]
    boxes: tuple[int, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    reassigned: tuple[tuple[str, str, str], ...]
    relabelled: tuple[tuple[str, str, str, str], ...]
    findings: tuple[dict[str, Any], ...]

    @property
    def nothing(self) -> bool:
        """Whether the two hold the same images with the same labels."""
        return not (self.added or self.removed or self.changed or self.reassigned or self.relabelled)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON would have it."""
        return asdict(self)


def compare(before: Revision, after: Revision) -> Difference:
    """Compare two revisions, image by image (by image id) and label by label."""
    old, new = (_present(one).set_index("image_id") for one in (before, after))
    both = old.index.intersection(new.index).sort_values()
    one, two = old.loc[both], new.loc[both]
    contents = [
        [side.digests.get(str(path), "") for path in table["path"]] for side, table in ((before, one), (after, two))
    ]
    patients = one["patient_id"].astype(str).to_numpy(), two["patient_id"].astype(str).to_numpy()
    moved = np.flatnonzero(patients[0] != patients[1])
    return Difference(
        before=(before.name, before.revision),
        after=(after.name, after.revision),
        images=(len(old), len(new)),
        patients=(int(old["patient_id"].nunique()), int(new["patient_id"].nunique())),
        boxes=(len(before.dataset.boxes), len(after.dataset.boxes)),
        added=tuple(map(str, new.index.difference(old.index).sort_values())),
        removed=tuple(map(str, old.index.difference(new.index).sort_values())),
        changed=tuple(str(name) for name, a, b in zip(both, *contents, strict=True) if a != b),
        reassigned=tuple((str(both[row]), str(patients[0][row]), str(patients[1][row])) for row in moved),
        relabelled=tuple(_relabelled(one, two)),
        findings=tuple(_prevalence(old, new)),
    )


def page(difference: Difference) -> str:
    """Return the difference as one HTML page that opens with no network."""
    from jinja2 import Environment

    template = files("thorax.datasets").joinpath("diff.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    most = max((row[side] or 0 for row in difference.findings for side in ("share_before", "share_after")), default=0)
    return environment.from_string(template).render(found=difference, shown=SHOWN, most=most or 1)


def _present(one: Revision) -> pd.DataFrame:
    """The rows whose image is there: a published table often lists more than a folder holds."""
    manifest = one.dataset.manifest
    return manifest[manifest["path"].isin(set(one.digests))]


def _relabelled(old: pd.DataFrame, new: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    names = [name for name in findings_of(old) if name in findings_of(new)]
    first, second = label_matrix(old, names), label_matrix(new, names)
    differ = (first != second) & ~(np.isnan(first) & np.isnan(second))
    return [
        (str(old.index[row]), names[column], _word(first[row, column]), _word(second[row, column]))
        for row, column in np.argwhere(differ)
    ]


def _word(label: float) -> str:
    return "not mentioned" if np.isnan(label) else _WORDS.get(float(label), f"{label:g}")


def _prevalence(old: pd.DataFrame, new: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys((*findings_of(old), *findings_of(new))):
        row: dict[str, Any] = {"finding": name}
        for side, table in (("before", old), ("after", new)):
            count = int((table[name] == PRESENT).sum()) if name in table else None
            row[f"count_{side}"] = count
            row[f"share_{side}"] = None if count is None else count / max(len(table), 1)
        rows.append(row)
    return rows
