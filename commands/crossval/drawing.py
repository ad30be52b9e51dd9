"""A picture of a cross-validation: each arm's AUROC with its interval, and how far it lies from the base's."""

from pathlib import Path
from typing import Any

_TALL_HEAD, _TALL_ROW = 1.0, 0.27


def draw(result: dict[str, Any], file: Path) -> None:
    """Draw a row an arm: to the left its mean AUROC, to the right its distance from the base's on the same patients.

    A square is the mean over all findings of the task, a circle that over some of them (`--within`).

    Args:
        result: of `commands.crossval.summary.summarise`; its first task is drawn.
        file: a PNG or SVG file.

    Raises:
        InputError: no arm is finished.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from thorax.errors import InputError
    from thorax.evaluation.canvas import BLUE, LINE, VERMILION, style

    if not result["tasks"]:
        raise InputError("No arm has finished all its folds yet: there is nothing to draw.")
    task, facts = next(iter(result["tasks"].items()))
    means = [(task, facts["arms"], "s", BLUE)]
    means += [(name, arms, "o", VERMILION) for name, arms in facts["within"].items()]
    names = list(facts["arms"])
    with mpl.rc_context(style()):
        figure = Figure(figsize=(9, _TALL_HEAD + _TALL_ROW * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, (title, arms, sign, colour) in enumerate(means):
            shift = 0.12 * (2 * number - len(means) + 1)
            rows = [(place + shift, arms[name]) for place, name in enumerate(names) if name in arms]
            _bars(left, [(at, arm["auroc"]) for at, arm in rows], sign, colour, title)
            apart = [(at, arm.get("auroc_difference")) for at, arm in rows]
            _bars(right, [(at, one) for at, one in apart if one], sign, colour, title)
        left.set_yticks(range(len(names)), [_label(name, facts["arms"][name]) for name in names])
        left.invert_yaxis()
        left.axvline(0.5, color=LINE, linewidth=1, linestyle=":")
        left.set(xlabel="AUROC, mean over findings; 95% interval over patients")
        right.axvline(0.0, color=LINE, linewidth=1, linestyle=":")
        right.set(xlabel=f"AUROC less that of {result['base']}, same patients and seeds")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=len(means))
        figure.savefig(file, dpi=110, metadata={"Software": None} if file.suffix == ".png" else None)


def _label(name: str, arm: dict[str, Any]) -> str:
    return f"{name} ({arm['seeds']} seed{'s' if arm['seeds'] > 1 else ''})"


def _bars(axes: Any, rows: list[tuple[float, dict[str, float | None]]], sign: str, colour: str, label: str) -> None:
    told = [(at, one["value"], one["low"], one["high"]) for at, one in rows if None not in one.values()]
    at, value, low, high = zip(*told, strict=True) if told else ((), (), (), ())
    below = [middle - end for middle, end in zip(value, low, strict=True)]
    above = [end - middle for middle, end in zip(value, high, strict=True)]
    axes.errorbar(value, at, xerr=[below, above], fmt=sign, ms=4, lw=1.2, color=colour, label=label)
