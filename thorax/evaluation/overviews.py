"""The plots of a report that are drawn from figures: findings at a glance, subgroups, who is taken for whom, risk."""

from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.evaluation.canvas import BLUE, CYCLE, INK, LINE, QUIET, VERMILION, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def glance(facts: dict[str, Any]) -> "Figure":
    """Draw AUROC, AUPRC, sensitivity and specificity of every finding with their intervals, best AUROC on top."""
    metrics = (("auroc", "AUROC"), ("auprc", "AUPRC"), ("sensitivity", "sensitivity"), ("specificity", "specificity"))
    names = sorted(facts["findings"], key=lambda name: facts["metrics"][name]["auroc"]["value"] or 0.0)
    figure = _figure(10.6, 0.9 + 0.27 * (len(names) + 1))
    for number, (ax, (key, label)) in enumerate(zip(figure.subplots(1, 4, sharey=True), metrics, strict=True)):
        for row, name in enumerate(("mean", *names)):
            _whisker(ax, row, facts["metrics"][name][key], INK if name == "mean" else BLUE)
        ax.set_yticks(range(len(names) + 1), ["mean", *map(words, names)])
        ax.set(xlim=(0, 1.02), title=label)
        if key == "auroc":
            ax.axvline(0.5, color=LINE, linestyle=":", linewidth=1)
        ax.tick_params(axis="y", length=0, labelcolor=INK, labelleft=number == 0)
    return figure


def subgroup_gaps(facts: dict[str, Any]) -> "Figure | None":
    """Draw the mean AUROC, sensitivity and specificity of every group; None where there is no group to draw."""
    rows: list[tuple[str, dict[str, Any] | None]] = []
    for attribute, entry in facts["subgroups"].items():
        rows.append((attribute.upper(), None))
        rows += [(f"{name} ({group['images']:,})", group) for name, group in entry["groups"].items()]
    if not any(group and group.get("mean") for _, group in rows):
        return None
    figure = _figure(9.6, 0.8 + 0.25 * len(rows))
    keys = (("auroc", "mean AUROC"), ("sensitivity", "mean sensitivity"), ("specificity", "mean specificity"))
    for number, (ax, (key, label)) in enumerate(zip(figure.subplots(1, 3, sharey=True), keys, strict=True)):
        for row, (_, group) in enumerate(reversed(rows)):
            if group is None:
                continue
            if group.get("mean"):
                _whisker(ax, row, group["mean"][key], BLUE)
            elif number == 0:
                ax.text(0.02, row, "too small to say", va="center", color=QUIET, transform=ax.get_yaxis_transform())
        overall = facts["metrics"]["mean"][key]["value"]
        if overall is not None:
            ax.axvline(overall, color=VERMILION, linewidth=1, linestyle="--")
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
        for tick, (_, group) in zip(ax.yaxis.get_major_ticks(len(rows)), reversed(rows), strict=True):
            tick.label1.set_fontweight("bold" if group is None else "normal")
        ax.set_title(label)
        ax.locator_params(axis="x", nbins=5)
        ax.tick_params(axis="y", length=0, labelcolor=INK, labelleft=number == 0)
    return figure


def mistaken(facts: dict[str, Any]) -> "Figure | None":
    """Draw how many times likelier a false alarm is beside another finding; None for a single finding."""
    names = facts["findings"]
    lift = np.array([[np.nan if value is None else value for value in row] for row in facts["cooccurrence"]["lift"]])
    if len(names) < 2 or np.isnan(lift).all():
        return None
    size = 1.9 + 0.42 * len(names)
    figure = _figure(size + 1.0, size)
    ax = figure.subplots()
    logs = np.log2(np.clip(lift, 1 / 8, 8))
    shown = ax.imshow(np.ma.masked_invalid(logs), cmap="PuOr_r", vmin=-3, vmax=3)
    for row, values in enumerate(lift):
        for column, value in enumerate(values):
            if np.isfinite(value):
                strong = abs(logs[row, column]) > 2
                ax.text(
                    column, row, f"{value:.1f}", ha="center", va="center", color="white" if strong else INK, fontsize=7
                )
    ax.set_xticks(range(len(names)), [words(name) for name in names], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), [words(name) for name in names])
    ax.set(xlabel="… in images that have", ylabel="false alarms for …")
    ax.grid(False)
    ax.tick_params(length=0)
    bar = figure.colorbar(shown, ax=ax, ticks=(-3, -1, 0, 1, 3), shrink=0.8)
    bar.ax.set_yticklabels(["⅛×", "½×", "1×", "2×", "8×"])
    bar.outline.set_visible(False)
    return figure


def risk_coverage_curves(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> "Figure":
    """Draw the share of wrong decisions among the surest cases.

    Args:
        curves: finding → (coverage, risk); more than six findings are drawn in one quiet colour, with their mean.
    """
    figure = _figure(6.8, 3.1)
    ax = figure.subplots()
    many = len(curves) > len(CYCLE)
    for number, (name, (coverage, risk)) in enumerate(curves.items()):
        step = slice(None, None, max(1, len(risk) // 200))
        colour = LINE if many else CYCLE[number]
        ax.plot(100 * coverage[step], 100 * risk[step], color=colour, label=None if many else words(name))
    if many:
        grid = np.linspace(0.02, 1, 100)
        mean = np.mean([np.interp(grid, coverage, risk) for coverage, risk in curves.values()], axis=0)
        ax.plot(100 * grid, 100 * mean, color=BLUE, linewidth=2.2, label="mean of the findings")
    ax.set(xlim=(0, 100), ylim=(0, None), xlabel="surest images kept, %", ylabel="wrong decisions, %")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def candidates(table: list[dict[str, Any]], metric: str) -> "Figure":
    """Draw the candidates' figures side by side, each with its interval; the winner is the first row."""
    keys = [
        (metric, f"mean {metric.upper()}"),
        ("auprc", "mean AUPRC"),
        ("sensitivity", "mean sensitivity"),
        ("specificity", "mean specificity"),
        ("ece", "mean ECE, best low"),
    ]
    unique, colours = dict(keys), _colours(table)
    figure = _figure(10.6, 0.9 + 0.4 * len(table))
    for number, (ax, (key, label)) in enumerate(
        zip(figure.subplots(1, len(unique), sharey=True), unique.items(), strict=True)
    ):
        for row, entry in enumerate(reversed(table)):
            _whisker(ax, row, entry["metrics"][key], colours[entry["name"]])
        ax.set_yticks(range(len(table)), [entry["name"] for entry in reversed(table)])
        ax.set(title=label, ylim=(-0.6, len(table) - 0.4))
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(axis="y", length=0, labelcolor=INK, labelleft=number == 0)
    return figure


def candidates_by_finding(table: list[dict[str, Any]]) -> "Figure":
    """Draw the AUROC of every finding, the candidates beside each other, each with its interval."""
    names, colours = list(table[0]["findings"]), _colours(table)
    figure = _figure(9.6, 1.0 + (0.16 * len(table) + 0.14) * len(names))
    ax = figure.subplots()
    for number, entry in enumerate(table):
        for row, name in enumerate(reversed(names)):
            place = row + 0.7 * (0.5 - (number + 0.5) / len(table))
            _whisker(ax, place, entry["findings"][name], colours[entry["name"]])
        ax.plot([], [], "o-", color=colours[entry["name"]], label=entry["name"], markersize=4.5)
    ax.axvline(0.5, color=LINE, linestyle=":", linewidth=1)
    ax.set_yticks(range(len(names)), [words(name) for name in reversed(names)])
    ax.set(title="AUROC of each finding", ylim=(-0.6, len(names) - 0.4))
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def _colours(table: list[dict[str, Any]]) -> dict[str, str]:
    """Return each candidate's colour, the same in every plot: vermilion is the winner's."""
    others = [colour for colour in CYCLE if colour != VERMILION]
    rest = [entry["name"] for entry in table if not entry["winner"]]
    found = {name: others[number % len(others)] for number, name in enumerate(rest)}
    return found | {entry["name"]: VERMILION for entry in table if entry["winner"]}


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _whisker(ax: Any, row: float, figure: dict[str, Any], colour: str) -> None:
    if figure["value"] is None:
        return
    if figure["low"] is not None:
        ax.plot([figure["low"], figure["high"]], [row, row], color=colour, linewidth=1.4, solid_capstyle="round")
    ax.plot(figure["value"], row, "o", color=colour, markersize=4.5)
