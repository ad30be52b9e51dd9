"""`thorax predict … --out predictions.parquet`: many radiographs into one table, going on where a run was cut off."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.console import err, progress
from thorax.errors import InputError, ThoraxError

if TYPE_CHECKING:
    from commands.answerers import Answerer

#: Images that are scored in one pass of the network, and after which the work is safe.
BATCH = 16


def predict_table(model: "Answerer", files: Sequence[Path], out: Path) -> int:
    """Write one row a file: the columns of the prediction log, the file, and the reasons of a referral or a failure.

    Finished rows lie beside `out` until all are done, so that the same command after a crash goes on behind them.

    Args:
        model: what answers.
        files: radiographs.
        out: the Parquet file.

    Returns:
        How many files could not be answered for.

    Raises:
        InputError: rows of another model lie beside `out`.
    """
    import pandas as pd

    from thorax.files import atomic_path, room_errors

    part = out.with_name(f".{out.name}.part.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = _finished(part, model.version)
    done = {row["file"] for row in rows}
    left = [file for file in files if str(file) not in done]
    if done:
        err.print(f"Going on behind {len(done):,} finished files.")
    with progress("Predicting", len(files)) as advance, room_errors(part), part.open("a", encoding="utf-8") as stream:
        advance(len(files) - len(left))
        for start in range(0, len(left), BATCH):
            fresh = list(_rows(model, left[start : start + BATCH]))
            stream.writelines(json.dumps(row) + "\n" for row in fresh)
            stream.flush()
            rows += fresh
            advance(len(fresh))
    wanted = {str(file) for file in files}
    frame = pd.DataFrame([row for row in rows if row["file"] in wanted])
    with atomic_path(out) as temporary:
        frame.to_parquet(temporary, index=False)
    part.unlink(missing_ok=True)
    failed = int((~frame["answered"].astype(bool)).sum())
    err.print(f"Wrote {len(frame):,} rows to {out}; {failed:,} files could not be answered for.", markup=False)
    return failed


def _finished(part: Path, version: str) -> list[dict[str, Any]]:
    """Return the rows of a run that was cut off; a last line that is half a line is done again."""
    if not part.is_file():
        return []
    rows: list[dict[str, Any]] = []
    lines = part.read_text(encoding="utf-8").split("\n")
    for line in lines[:-1]:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{part} is damaged.", "Delete it and run the same command again.") from error
    if lines[-1]:
        part.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
    other = {row["model_version"] for row in rows} - {version}
    if other:
        raise InputError(
            f"{part} holds answers of version {', '.join(sorted(other))}, and version {version} answers now.",
            "Delete it, or name another --out.",
        )
    return rows


def _rows(model: "Answerer", files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Answer for a few files; what cannot be answered for gets a row with the reason."""
    from thorax.prediction_log import flatten

    for file, one in zip(files, model.answer(files), strict=True):
        row: dict[str, Any] = {"file": str(file), "model_version": model.version, "answered": False, "reason": ""}
        if isinstance(one, ThoraxError):
            yield row | {"reason": str(one)}
        else:
            given = {
                "model_version": one.model.version,
                "answered": not one.withheld,
                "refer": one.refer,
                "reason": " ".join(one.refer_reasons),
            }
            yield row | given | flatten(one.image, one.findings, one.novelty, one.embedding, one.outside_scope)
