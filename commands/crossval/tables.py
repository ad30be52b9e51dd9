"""The tables of a cross-validation, on the screen and in Markdown."""

from typing import Any

from commands.console import out, table

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    for title, columns, rows in tables(result):
        table(title, columns, rows, right=columns[1:])
    out.print(_ending(result))


def to_markdown(result: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for title, columns, rows in tables(result):
        lines += [f"{title}", ""]
        lines += [f"| {' | '.join(row)} |" for row in (columns, ("---",) * len(columns), *rows)]
        lines.append("")
    return "\n".join([*lines, _ending(result)]) + "\n"


def tables(result: dict[str, Any]) -> list[Table]:
    """Return each table: its title, its columns and its rows."""
    made: list[Table] = []
    for task, facts in result["tasks"].items():
        about = (
            f"{task}: {facts['images']:,} images of {facts['patients']:,} patients, {result['folds']} folds by patient"
        )
        made.append((about, *_arms(facts["arms"], result["base"], result["folds"])))
        for name, arms in facts["within"].items():
            made.append(
                (f"{task}: the mean over the findings of {name}", *_arms(arms, result["base"], result["folds"]))
            )
        made.append((f"{task}: AUROC of each finding", *_findings(facts["arms"])))
        if facts["boxes"]:
            made.append((f"{task}: readers' boxes of the held-out folds", *_boxes(facts["boxes"])))
    return made


def _arms(arms: dict[str, Any], base: str, folds: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    columns: tuple[str, ...] = ("arm", "seeds", "AUROC", "AUPRC", f"AUROC, less {base}'s", "minutes a fold")
    rows: list[tuple[str, ...]] = [
        (
            name,
            str(arm["seeds"]),
            _figure(arm["auroc"]),
            _figure(arm["auprc"]),
            "" if name == base or "auroc_difference" not in arm else _figure(arm["auroc_difference"], signed=True),
            f"{arm['seconds'] / 60 / max(1, arm['seeds']) / folds:.1f}",
        )
        for name, arm in arms.items()
    ]
    return columns, rows


def _findings(arms: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    first = next(iter(arms.values()))["findings"]
    rows = [
        (
            finding,
            str(first[finding]["positives"]),
            *(_figure(arm["findings"][finding]["auroc"]) for arm in arms.values()),
        )
        for finding in first
    ]
    return ("finding", "positives", *arms), rows


def _boxes(boxes: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (finding, arm, method, str(told["boxes"]), _figure(told["pointing_game"]), _figure(told["iou"]))
        for arm, methods in boxes.items()
        for method, findings in methods.items()
        for finding, told in findings.items()
    ]
    order = {finding: place for place, finding in enumerate(dict.fromkeys(row[0] for row in rows))}
    return ("finding", "arm", "method", "boxes", "pointing game", "IoU"), sorted(rows, key=lambda row: order[row[0]])


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
