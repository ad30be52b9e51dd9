"""Confirmed cases: radiographs that the deployment put aside, matched with what readers said of their answers.

The service keeps no image. Where a deployment wants its models to learn from what they meet, it puts copies of the
radiographs that it may use for that into `monitor.confirmed_dir`, a folder a patient, named by a pseudonym:
`<pseudonym>/<image>`; or any file names, with a `cases.csv` beside them: file, patient and, where they are at hand,
request_id, view, age, sex, findings, and `dataset_patient`, the name under which the dataset knows a patient already.
What leaves that folder is pixels alone, and pseudonyms leave it as salted digests.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from thorax.datasets import confirmed
from thorax.datasets.confirmed import Case
from thorax.datasets.dataset import image_files, sexes, views
from thorax.datasets.tables import BLANK, read_table
from thorax.errors import ImageError, InputError
from thorax.files import atomic_path, read_json, write_json
from thorax.findings import SHIPPED, Vocabulary
from thorax.monitoring.truth import settle
from thorax.prediction_log.record import digest as digest_of

if TYPE_CHECKING:
    from thorax.imaging import Radiograph

TABLE = "cases.csv"


@dataclass(frozen=True)
class Found:
    """A radiograph that was put aside and answered for: where it is, whose, and what is confirmed of it."""

    file: Path
    key: str
    patient: str
    answered: str
    facts: Mapping[str, Any]
    labels: Mapping[str, bool]


@dataclass
class Gathered:
    """What the folder holds: cases that can be learnt from, and how many were left out, by the reason."""

    cases: list[Found] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Sources:
    """Where cases come from.

    Attributes:
        folder: `monitor.confirmed_dir`.
        root: the dataset's folder; what it holds is not new.
        predictions: the prediction log: request_id, time, image_digest, view, age, sex.
        feedback: request_id, time, role, finding, present.
        salt: of the log's digests.
        findings: that must all be confirmed of a case; fewer are enough where `partial`.
        partial: a case with some findings unknown is taken.
        words: the run's vocabulary.
    """

    folder: Path
    root: Path
    predictions: pd.DataFrame
    feedback: pd.DataFrame
    salt: bytes
    findings: tuple[str, ...]
    partial: bool = False
    words: Vocabulary = SHIPPED


def gather(sources: Sources) -> Gathered:
    """Find the confirmed cases that the dataset does not hold yet; no image is decoded.

    Raises:
        InputError: the folder is missing, or its table cannot be read.
    """
    found = Gathered()
    held = confirmed.keys(sources.root)
    said = _said(sources.feedback)
    by_request = sources.predictions.set_index("request_id", drop=False)
    by_digest = dict(zip(sources.predictions["image_digest"], sources.predictions["request_id"], strict=True))
    seen: set[str] = set()
    for file, row in _files(sources.folder):
        try:
            digest = digest_of(sources.salt, file.read_bytes())
        except OSError:
            found.left_out["unreadable"] += 1
            continue
        key = digest[:24]
        if key in held or key in seen:
            found.left_out["in the dataset already" if key in held else "the same image twice"] += 1
            continue
        request = row.get("request_id") or (file.stem if file.stem in by_request.index else by_digest.get(digest, ""))
        if request not in by_request.index:
            found.left_out["no answer to it is in the log"] += 1
            continue
        labels = said.get(request, {}) | _labels(row, sources.words)
        missing = [name for name in sources.findings if name not in labels]
        if len(missing) == len(sources.findings) or (missing and not sources.partial):
            found.left_out[
                "not all findings are confirmed" if len(missing) < len(sources.findings) else "unconfirmed"
            ] += 1
            continue
        name = row.get("patient") or (file.parent.name if file.parent != sources.folder else "")
        same = row.get("dataset_patient")
        if not (name or same):
            found.left_out["no patient is named"] += 1
            continue
        seen.add(key)
        answer = by_request.loc[request]
        facts = {name: row.get(name) or answer[name] for name in ("view", "age", "sex")}
        patient = same or f"c{digest_of(sources.salt, b'patient:' + name.encode())[:16]}"
        found.cases.append(Found(file, key, patient, _iso(answer["time"]), facts, labels))
    return found


def stage(found: Gathered, folder: Path, batch: str, since: str) -> int:
    """Write the cases as they will enter the dataset: pixels without metadata, and what is known of them.

    Args:
        found: the cases.
        folder: to write; it is whole when `cases.json` is there.
        batch: what arrives now.
        since: the moment from which on the images show what the deployment sees now, ISO 8601; "" counts all.

    Returns:
        How many were written; images that cannot be read are left out and counted in `found`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turn = pd.Timestamp(since) if since else None
    records = []
    for case in found.cases:
        try:
            radiograph = _write(case.file, folder / f"{case.key}.png")
        except ImageError:
            found.left_out["unreadable"] += 1
            continue
        facts = {name: _known(case.facts[name]) for name in ("view", "sex", "age")}
        age = facts["age"] if facts["age"] is not None else radiograph.age
        records.append(
            {
                "key": case.key,
                "patient": case.patient,
                "view": views(pd.Series([facts["view"] or radiograph.view or "unknown"])).iloc[0],
                "sex": sexes(pd.Series([facts["sex"] or radiograph.sex or "unknown"])).iloc[0],
                "age": None if age is None else float(age),
                "labels": {name: bool(value) for name, value in sorted(case.labels.items())},
                "batch": batch if turn is None or pd.Timestamp(case.answered) >= turn else batch + confirmed.BEFORE,
            }
        )
    write_json(folder / "cases.json", records)
    return len(records)


def staged(folder: Path) -> list[Case]:
    """Return what `stage` wrote.

    Raises:
        InputError: it is not whole.
    """
    return [
        Case(file=folder / f"{item['key']}.png", **{name: item[name] for name in item if name != "file"})
        for item in read_json(folder / "cases.json")
    ]


def _files(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield each image of the folder with its row of the table, empty where it has none."""
    if not folder.is_dir():
        raise InputError(f"monitor.confirmed_dir {folder} is not a folder.", "Make it, or set it to null.")
    rows: dict[str, dict[str, str]] = {}
    if (folder / TABLE).is_file():
        table = read_table(folder / TABLE)
        names = table.column("file")
        # Without the value: file names may name people, and what is refused stands in journals and alerts.
        table.refuse(names.duplicated().to_numpy(), "a file stands twice", mend="Keep one row an image.")
        for row in table.frame.to_dict("records"):
            lowered = {str(name).strip(): str(value) for name, value in row.items() if str(value).lower() not in BLANK}
            rows[lowered["file"]] = lowered
    for path in sorted(image_files(folder)):
        yield folder / path, rows.get(path, {})


def _said(feedback: pd.DataFrame) -> dict[str, dict[str, bool]]:
    """Return what is settled of each request: finding to present or absent."""
    table = settle(feedback).table
    return {str(request): {name: bool(v) for name, v in row.items() if v == v} for request, row in table.iterrows()}


def _labels(row: Mapping[str, str], vocabulary: Vocabulary) -> dict[str, bool]:
    """Read the labels that stand in the folder's own table."""
    words = {"1": True, "yes": True, "true": True, "present": True, "0": False, "no": False, "false": False}
    named = {vocabulary.canonical(name): value.lower() for name, value in row.items()}
    return {name: words[value] for name, value in named.items() if name in vocabulary and value in words}


def _iso(moment: Any) -> str:
    return str(pd.Timestamp(moment).isoformat())


def _known(value: Any) -> Any:
    return None if value is None or value != value or value in ("unknown", "") else value


def _write(source: Path, target: Path) -> "Radiograph":
    """Write the pixels of a radiograph, and nothing else that its file held; return what was read."""
    import cv2
    import numpy as np

    from thorax.imaging import read_image

    radiograph = read_image(source)
    deep = radiograph.bits > 8
    levels = np.iinfo(np.uint16 if deep else np.uint8)
    pixels = np.rint(radiograph.pixels * levels.max).astype(levels.dtype)
    whole, encoded = cv2.imencode(".png", pixels)
    if not whole:
        raise ImageError(f"{source} cannot be written as PNG.")
    with atomic_path(target) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return radiograph
