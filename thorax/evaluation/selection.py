"""The select step: the candidates side by side, the winner, and why."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thorax.errors import InputError
from thorax.evaluation import paired
from thorax.evaluation.paired import Answers
from thorax.evaluation.run import FILE
from thorax.files import atomic_folder, read_json, write_json, write_text
from thorax.settings import Select

SELECTION, PAGE = "selection.json", "comparison.html"


def select(candidates: Mapping[str, Path | str], settings: Select, out: Path | str) -> dict[str, Any]:
    """Choose the candidate with the greatest mean of the metric and write `selection.json` and `comparison.html`.

    Args:
        candidates: architecture → folder of its evaluation.
        settings: the section `select` of the settings.
        out: the folder to write; replaced whole.

    Returns:
        `winner`, `reason` (a sentence), `metric`, `table` (a row a candidate, best first, with how far it is behind
        the winner on the same patients), and `disagreement` (what the candidates' spread knows of errors).

    Raises:
        InputError: there is no candidate, one was measured on other findings, images or with other intervals, or none
            has the metric.
    """
    if not candidates:
        raise InputError("There is no candidate to choose from.", "Name an architecture under train.architectures.")
    found = {name: read_json(Path(folder) / FILE) for name, folder in candidates.items()}
    _comparable(found)
    metric = settings.metric
    rows = [_row(name, facts) for name, facts in found.items()]
    # Without the metric a candidate ranks last; ties go to the smaller network, then to the name.
    rows.sort(key=lambda row: (-_value(row, metric), row["parameters"] or 0, row["name"]))
    if _value(rows[0], metric) < 0:
        raise InputError(f"No candidate has a mean {metric}.", "The test split may hold no positives of any finding.")
    rows[0]["winner"] = True
    answers = {row["name"]: Answers.load(Path(candidates[row["name"]]) / paired.FILE) for row in rows}
    for row in rows[1:]:
        facts = found[row["name"]]
        row["behind"] = paired.compare(
            answers[rows[0]["name"]], answers[row["name"]], facts["findings"], facts["bootstrap"], facts["confidence"]
        )
    verdict = {
        "winner": rows[0]["name"],
        "reason": _reason(rows, metric),
        "metric": metric,
        "table": rows,
        "disagreement": paired.disagreement_figures(answers, rows[0]["name"]),
    }
    with atomic_folder(out) as folder:
        write_json(folder / SELECTION, verdict)
        write_text(folder / PAGE, _page(verdict, found))
    return verdict


def _comparable(found: Mapping[str, Any]) -> None:
    """Refuse candidates that were not measured on the same patients in the same way."""
    names = list(found)
    first = found[names[0]]
    for name in names[1:]:
        for key in ("findings", "images", "patients", "synthetic", "confidence"):
            if found[name].get(key) != first.get(key):
                raise InputError(
                    f"{names[0]} and {name} cannot be compared: their evaluations differ in {key} "
                    f"({first.get(key)} and {found[name].get(key)}).",
                    "Evaluate both on the same test split.",
                )


def _row(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    network, localization = facts.get("network", {}), facts.get("localization", {})
    keys = ("auroc", "auprc", "f1", "sensitivity", "specificity", "ece", "ece_raw", "brier")
    return {
        "name": name,
        "winner": False,
        "metrics": {key: facts["metrics"]["mean"][key] for key in keys},
        "findings": {finding: facts["metrics"][finding]["auroc"] for finding in facts["findings"]},
        "behind": None,
        "pointing_game": localization.get("mean", {}).get("pointing_game"),
        "parameters": network.get("parameters"),
        "seconds": network.get("seconds"),
    }


def _value(row: Mapping[str, Any], metric: str) -> float:
    value = row["metrics"][metric]["value"]
    return -1.0 if value is None else float(value)


def _reason(rows: list[dict[str, Any]], metric: str) -> str:
    best = rows[0]
    figure = best["metrics"][metric]
    label = {"auroc": "AUROC", "auprc": "AUPRC", "f1": "F1"}[metric]
    between = "" if figure["low"] is None else f" ({figure['low']:.3f} to {figure['high']:.3f})"
    text = f"{best['name']} has the highest mean test {label}, {figure['value']:.3f}{between}"
    if len(rows) == 1:
        return f"{best['name']} is the only candidate: mean test {label} {figure['value']:.3f}{between}."
    second = rows[1]["metrics"][metric]
    if second["value"] is None:
        return f"{text}; no other candidate has one."
    text += f", against {second['value']:.3f} of {rows[1]['name']}"
    behind = rows[1]["behind"]["mean"]
    if behind["low"] is None:
        return f"{text}."
    told = "" if behind["low"] > 0 else ", which is not significant"
    return (
        f"{text}; on the same patients its mean AUROC is higher by {behind['value']:.3f} "
        f"({behind['low']:.3f} to {behind['high']:.3f}){told}."
    )


def _page(verdict: dict[str, Any], found: Mapping[str, Any]) -> str:
    import matplotlib

    from thorax.evaluation import overviews
    from thorax.evaluation.canvas import as_svg, style
    from thorax.evaluation.report import render

    with matplotlib.rc_context(style()):
        figures = {
            "candidates": as_svg(overviews.candidates(verdict["table"], verdict["metric"])),
            "findings": as_svg(overviews.candidates_by_finding(verdict["table"])),
        }
    return render("comparison.html", verdict=verdict, facts=found[verdict["winner"]], figures=figures)
