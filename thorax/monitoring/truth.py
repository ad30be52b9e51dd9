"""Truth that comes late: what readers said of earlier answers, settled into one table; confirmed findings in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from thorax.errors import InputError, nearest
from thorax.findings import SHIPPED, Vocabulary

if TYPE_CHECKING:
    from thorax.prediction_log import PredictionLog

#: The role under which a file of confirmed findings enters the log.
CONFIRMED = "confirmed"
#: Whom to believe where roles disagree, the first most.
RANKS = (CONFIRMED, "radiologist", "physician", "radiographer", "other")
_WORDS = {"1": True, "1.0": True, "true": True, "yes": True, "present": True, "positive": True}
_WORDS |= {"0": False, "0.0": False, "false": False, "no": False, "absent": False, "negative": False}
_SHOWN = 5


@dataclass(frozen=True)
class Truth:
    """What is known of earlier answers.

    Attributes:
        table: a row a request (its index), a column a finding: 1 present, 0 absent, NaN not said.
        duplicates: statements that repeat what the same role had said already.
        revised: statements that the same role later took back; the later one counts.
        disputed: findings of a request on which roles disagree; the higher role counts.
    """

    table: pd.DataFrame
    duplicates: int = 0
    revised: int = 0
    disputed: int = 0


def settle(feedback: pd.DataFrame) -> Truth:
    """Settle what readers said into one truth.

    Of a role, the last statement counts; among roles, that of the higher.

    Args:
        feedback: request_id, time, role, finding, present, as `read_feedback` gives it.
    """
    if feedback.empty:
        return Truth(pd.DataFrame(index=pd.Index([], name="request_id")))
    said = feedback.sort_values("time", kind="stable").astype({"present": "float64"})
    by_role = said.groupby(["request_id", "finding", "role"], sort=False)["present"]
    before = by_role.shift()
    duplicates = int((before == said["present"]).sum())
    revised = int((before.notna() & (before != said["present"])).sum())
    last = by_role.last().reset_index()
    rank = {role: place for place, role in enumerate(RANKS)}
    last["rank"] = last["role"].map(rank).fillna(len(RANKS))
    best = last.sort_values("rank", kind="stable").groupby(["request_id", "finding"], sort=False)["present"]
    disputed = int((best.nunique() > 1).sum())
    return Truth(best.first().unstack("finding"), duplicates, revised, disputed)


@dataclass(frozen=True)
class Labels:
    """A file of confirmed findings, read.

    Attributes:
        said: a request: its findings, present or not.
        rows: of the file.
        duplicates: rows that say again what another row of the same request says.
        contradictory: requests of which rows contradict each other; nothing of them is kept.
    """

    said: dict[str, dict[str, bool]]
    rows: int
    duplicates: int = 0
    contradictory: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """What became of a file of confirmed findings.

    Attributes:
        rows: of the file.
        kept: findings that were new to the log.
        known: findings that the log knew already, with the same answer.
        requests: that were found in the log.
        duplicates: rows that repeat others.
        contradictory: requests with rows that contradict each other, left out.
        unknown: requests that the log does not hold, left out.
        changed: findings of which the log had the contrary from an earlier file; the new answer counts.
    """

    rows: int
    kept: int
    known: int
    requests: int
    duplicates: int
    contradictory: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    changed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**vars(self), "contradictory": list(self.contradictory), "unknown": list(self.unknown)}


def read_labels(path: Path, findings: Sequence[str], words: Vocabulary = SHIPPED) -> Labels:
    """Read a CSV or Parquet file with `request_id` and a column a finding (1 or 0, yes or no, blank: not said).

    Raises:
        InputError: the file cannot be read, lacks its columns, or holds a value that is no answer; names the row.
    """
    frame = _table(path)
    if "request_id" not in frame:
        raise InputError(f"{path} has no column request_id.", "Name the column that holds the answers' request_id so.")
    columns = {name: words.canonical(str(name)) for name in frame.columns if name != "request_id"}
    wrong = [name for name, meant in columns.items() if meant not in findings]
    if wrong:
        raise InputError(f"{path}: {wrong[0]!r} is no finding of this model.", nearest(str(wrong[0]), findings))
    if not columns:
        raise InputError(f"{path} has no column of a finding.", f"Add one, such as {findings[0]}.")
    said: dict[str, dict[str, bool]] = {}
    contradictory: dict[str, None] = {}
    duplicates = 0
    for number, row in enumerate(frame.to_dict("records"), start=2):
        request = str(row["request_id"]).strip()
        answers = {meant: _answer(path, number, str(name), row[name]) for name, meant in columns.items()}
        given = {name: value for name, value in answers.items() if value is not None}
        known = said.setdefault(request, {})
        if any(known.get(name, value) != value for name, value in given.items()):
            contradictory[request] = None
        elif known and given.items() <= known.items():
            duplicates += 1
        known.update(given)
    for request in contradictory:
        del said[request]
    return Labels({k: v for k, v in said.items() if v}, len(frame), duplicates, tuple(contradictory))


class _Advance(Protocol):
    def __call__(self, step: int = 1) -> None: ...


def keep(
    labels: Labels, log: "PredictionLog", earlier: pd.DataFrame, time: datetime, advance: _Advance | None = None
) -> Labelled:
    """Write confirmed findings to the log, and say what became of each.

    Args:
        labels: as they were read.
        log: a writer.
        earlier: the log's feedback so far, as `read_feedback` gives it.
        time: when they came.
        advance: told of each request.
    """
    mine = earlier[earlier["role"] == CONFIRMED].sort_values("time", kind="stable")
    before = {
        (str(request), str(finding)): bool(present)
        for request, finding, present in zip(mine["request_id"], mine["finding"], mine["present"], strict=True)
    }
    kept = known = requests = changed = 0
    unknown = []
    for request, findings in labels.said.items():
        try:
            fresh = log.write_feedback(request, findings, CONFIRMED, time)
        except InputError:
            unknown.append(request)
        else:
            requests += 1
            kept += fresh
            known += len(findings) - fresh
            changed += sum(before.get((request, name), value) != value for name, value in findings.items())
        if advance is not None:
            advance()
    return Labelled(
        labels.rows, kept, known, requests, labels.duplicates, labels.contradictory, tuple(unknown), changed
    )


def joined(table: pd.DataFrame, predictions: pd.DataFrame, findings: Sequence[str]) -> np.ndarray:
    """Return the truth (n, F) of predictions, NaN where nothing is known."""
    rows = table.reindex(predictions["request_id"].astype(str))
    return rows.reindex(columns=list(findings)).to_numpy(dtype=np.float64, na_value=np.nan)


def first_few(names: Sequence[str]) -> str:
    """Name the first few requests."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=str, keep_default_na=True)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read: {error}", "Give a CSV or a Parquet file.") from error


def _answer(path: Path, number: int, name: str, value: Any) -> bool | None:
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return None
    text = str(value).strip().lower()
    if text in ("", "nan", "none"):
        return None
    if text not in _WORDS:
        raise InputError(f"{path}, row {number}: {name} is {str(value)[:40]!r}.", "Write 1, 0, or nothing.")
    return _WORDS[text]
