"""The tables of a cross-validation, on the screen and on a page."""

from pathlib import Path
from typing import Any

from commands.bench.figures import Table
from commands.bench.page import keep, show
from commands.console import out


def tell(result: dict[str, Any]) -> None:
    """Print the tables; of boxes only the means, for each finding has as many rows again."""
    for title, one in tables(result, means=True).items():
        show(title, one)
    out.print(_ending(result))
    if any(facts["boxes"] for facts in result["tasks"].values()):
        out.print("Each finding's boxes: --markdown FILE, or --json.")


def write(page: Path, result: dict[str, Any]) -> None:
    """Keep the tables on a page, among its words; see `commands.bench.page.keep`."""
    keep(page, tables(result), _ending(result))


def tables(result: dict[str, Any], means: bool = False) -> dict[str, Table]:
    """Return each table by its title; of boxes all findings, or the means alone."""
    made: dict[str, Table] = {}
    for task, facts in result["tasks"].items():
        about = f"{facts['images']:,} images of {facts['patients']:,} patients, {result['folds']} folds by patient"
        made[f"{task}: {about}"] = _arms(facts["arms"], result["base"], result["folds"])
        for name, arms in facts["within"].items():
            made[f"{task}: the mean over the findings of {name}"] = _arms(arms, result["base"], result["folds"])
        made[f"{task}: AUROC of each finding"] = _findings(facts["arms"])
        if facts["boxes"]:
            made[f"{task}: readers' boxes of the held-out folds"] = _boxes(facts["boxes"], means)
    return made


def _arms(arms: dict[str, Any], base: str, folds: int) -> Table:
    columns: tuple[str, ...] = ("arm", "seeds", "AUROC", "AUPRC", f"AUROC, less {base}'s", "processor minutes a fold")
    rows: list[tuple[str, ...]] = [
        (
            name,
            str(arm["seeds"]),
            _figure(arm["auroc"]),
            _figure(arm["auprc"]),
            "" if name == base or "auroc_difference" not in arm else _figure(arm["auroc_difference"], signed=True),
            f"{arm['processor_seconds'] / 60 / max(1, arm['seeds']) / folds:.1f}",
        )
        for name, arm in arms.items()
    ]
    return Table(columns, rows)


def _findings(arms: dict[str, Any]) -> Table:
    first = next(iter(arms.values()))["findings"]
    rows = [
        (
            finding,
            str(first[finding]["positives"]),
            *(_figure(arm["findings"][finding]["auroc"]) for arm in arms.values()),
        )
        for finding in first
    ]
    return Table(("finding", "positives", *arms), rows)


def _boxes(boxes: dict[str, Any], means: bool) -> Table:
    rows = [
        (finding, arm, method, str(told["boxes"]), _figure(told["pointing_game"]), _figure(told["iou"]))
        for arm, methods in boxes.items()
        for method, findings in methods.items()
        for finding, told in findings.items()
        if finding == "mean" or not means
    ]
    order = {finding: place for place, finding in enumerate(dict.fromkeys(row[0] for row in rows))}
    columns = ("finding", "arm", "method", "boxes", "pointing game", "IoU")
    return Table(columns, sorted(rows, key=lambda row: order[row[0]]))


def _ending(result: dict[str, Any]) -> str:
    text = f"{result['finished']} of {result['units']} units finished"
    if result["hours_left"]:
        text += f"; about {result['hours_left']:.1f} hours of work left, divided by the workers"
    return text + "."


def _figure(figure: dict[str, float | None], signed: bool = False) -> str:
    if figure["value"] is None:
        return "–"
    sign = "+" if signed else ""
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:{sign}.3f}"
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f} to {figure['high']:{sign}.3f})"
