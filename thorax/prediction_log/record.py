"""What a record holds: an allow-list, so that a field which is added elsewhere never slips in.

The image appears only as a salted digest, which tells repeats apart within one installation and cannot be looked up
outside it.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thorax.prediction import FindingAnswer, ImageReport, Novelty, Prediction

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("brightness", "contrast", "sharpness", "noise", "border", "entropy")
_TEXT, _REAL, _WHOLE = "TEXT", "REAL", "INTEGER"
#: What says who answered, when, and in how many milliseconds. `sequence` goes up with every row, also where the clock
#: jumps back.
IDENTITY = {
    "sequence": _WHOLE,
    "request_id": _TEXT,
    "time": _TEXT,
    "model_version": _TEXT,
    "image_digest": _TEXT,
    "took_ms": _REAL,
}
#: What monitoring compares with the bundle's reference, before the columns of each finding.
COMPARED = dict.fromkeys(STATISTICS, _REAL) | {
    "view": _TEXT,
    "age": _REAL,
    "sex": _TEXT,
    "ood_score": _REAL,
    "ood": _WHOLE,
    "outside_scope": _WHOLE,
    "bits": _REAL,
}
#: What the network made of the image, in a few numbers; see `thorax.bundle.watched`.
EMBEDDING = tuple(f"e_{component:02d}" for component in range(16))
#: Columns of one finding: probability, whether it reaches the operating point, answer, uncertainty, and heatmap.
OF_FINDING = {
    "p": _REAL,
    "d": _WHOLE,
    "c": _TEXT,
    "u": _REAL,
    "heat_x": _REAL,
    "heat_y": _REAL,
    "heat_spread": _REAL,
    "heat_outside": _REAL,
    "heat_agreement": _REAL,
}
FEEDBACK = {"request_id": _TEXT, "time": _TEXT, "role": _TEXT, "finding": _TEXT, "present": _WHOLE}
#: What another version, that answers nobody, made of the same image beside the one that answered.
SHADOW = {
    "request_id": _TEXT,
    "time": _TEXT,
    "model_version": _TEXT,
    "shadow_version": _TEXT,
    "finding": _TEXT,
    "p": _REAL,
    "d": _WHOLE,
    "shadow_p": _REAL,
    "shadow_d": _WHOLE,
}
#: Requests that were refused or failed: nothing of what they held, only that they were.
FAILURES = {"request_id": _TEXT, "time": _TEXT, "status": _WHOLE}
#: Ages above this are kept as this: the very old are few enough to be told apart (45 CFR 164.514(b)(2)(i)(C)).
OLDEST = 90.0


def columns_of(findings: Iterable[str]) -> dict[str, str]:
    """Return `{column: SQLite type}` of everything that monitoring compares."""
    return (
        COMPARED
        | dict.fromkeys(EMBEDDING, _REAL)
        | {f"{kind}_{finding}": type_ for finding in findings for kind, type_ in OF_FINDING.items()}
    )


def flatten(
    image: ImageReport,
    answers: Sequence[FindingAnswer],
    novelty: Novelty,
    embedding: Sequence[float] = (),
    outside: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what monitoring compares as one flat row; the log and the bundle's reference are made of the same."""
    row: dict[str, Any] = {name: image.statistics.get(name) for name in STATISTICS}
    row |= {"view": image.view or "unknown", "age": _coarse(image.age), "sex": image.sex or "unknown"}
    row |= {
        "ood_score": novelty.score,
        "ood": int(novelty.out),
        "outside_scope": int(bool(outside)),
        "bits": float(image.bits),
    }
    row |= dict(zip(EMBEDDING, embedding, strict=False))
    for answer in answers:
        heat = answer.heat
        values = (
            answer.probability,
            int(answer.decision),
            answer.answer,
            answer.uncertainty,
            heat.x if heat else None,
            heat.y if heat else None,
            heat.spread if heat else None,
            heat.outside if heat else None,
            heat.agreement if heat else None,
        )
        row |= {f"{kind}_{answer.finding}": value for kind, value in zip(OF_FINDING, values, strict=True)}
    return row


def one_answer(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return rows with one answer a finding: those of releases before 0.2 that contradict their decision are uncertain.

    Args:
        frame: the columns of `columns_of`; one without both `c_` and `d_` of a finding stays as it is.
    """
    changed = {}
    for column in [name for name in frame.columns if name.startswith("c_") and f"d_{name[2:]}" in frame.columns]:
        said, reached = frame[column], frame[f"d_{column[2:]}"].astype("Float64")
        at_odds = (((said == "present") & (reached == 0)) | ((said == "absent") & (reached == 1))).fillna(False)
        if at_odds.any():
            changed[column] = said.mask(at_odds.astype(bool), "uncertain")
    return frame.assign(**changed) if changed else frame


def row_of(prediction: Prediction, image_digest: str) -> dict[str, Any]:
    """Return the row that the log keeps of an answer; its place in the sequence is the database's to give."""
    return {
        "request_id": prediction.request_id,
        "time": stamp(prediction.time),
        "model_version": prediction.model.version,
        "image_digest": image_digest,
        "took_ms": prediction.took_ms,
    } | flatten(
        prediction.image, prediction.findings, prediction.novelty, prediction.embedding, prediction.outside_scope
    )


def shadow_rows(answered: Prediction, shadow: Prediction) -> list[dict[str, Any]]:
    """Return a row a finding that both versions assess."""
    others = {one.finding: one for one in shadow.findings}
    return [
        {
            "request_id": answered.request_id,
            "time": stamp(answered.time),
            "model_version": answered.model.version,
            "shadow_version": shadow.model.version,
            "finding": one.finding,
            "p": one.probability,
            "d": int(one.decision),
            "shadow_p": others[one.finding].probability,
            "shadow_d": int(others[one.finding].decision),
        }
        for one in answered.findings
        if one.finding in others
    ]


def _coarse(age: float | None) -> float | None:
    return None if age is None or age != age else float(min(round(age), OLDEST))


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, so that text order is time order."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_salt(path: Path) -> bytes:
    """Return this installation's salt, made once and readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
        try:
            path.hardlink_to(temporary)  # fails where another process was first; its salt stays
        finally:
            temporary.unlink()
    return path.read_bytes()


def digest(salt: bytes, data: bytes) -> str:
    """Return the salted SHA-256 (HMAC, hex) of an image file's bytes."""
    return hmac.new(salt, data, hashlib.sha256).hexdigest()
