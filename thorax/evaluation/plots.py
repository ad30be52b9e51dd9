"""The plots of a report that are drawn from scores: discrimination, calibration, the operating point."""

from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.evaluation.calibration_error import equal_mass_bins
from thorax.evaluation.canvas import (
    BLUE,
    GREEN,
    INK,
    LINE,
    ORANGE,
    QUIET,
    VERMILION,
    label_outside,
    legend_above,
    panels,
    thin,
    words,
)
from thorax.evaluation.figures_of_merit import Scores
from thorax.evaluation.ranking import precision_recall_points, roc_points
from thorax.evaluation.resampling import wilson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS = (0.0, 0.5, 1.0)


def roc(scores: Scores, facts: dict[str, Any]) -> "Figure":
    """Draw a ROC curve a finding, with its operating point."""
    figure, axes = panels(len(facts["findings"]))
    for column, (finding, ax) in enumerate(zip(facts["findings"], axes, strict=True)):
        truth, p = _known(scores, column)
        metrics = facts["metrics"][finding]
        if metrics["auroc"]["value"] is None:
            _nothing(ax, finding)
            continue
        false_positive, sensitivity, _ = roc_points(p, truth)
        ax.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle=":")
        step = thin(sensitivity)
        ax.plot(np.append(false_positive[step], 1), np.append(sensitivity[step], 1), color=BLUE)
        ax.plot(
            1 - metrics["specificity"]["value"], metrics["sensitivity"]["value"], "o", color=VERMILION, markersize=5
        )
        _square(ax, "1 − specificity", "sensitivity")
        _head(ax, finding, _bracket("AUROC", metrics["auroc"]))
    label_outside(figure)
    return figure


def precision_recall(scores: Scores, facts: dict[str, Any]) -> "Figure":
    """Draw precision against recall a finding, with the prevalence as the line of chance."""
    figure, axes = panels(len(facts["findings"]))
    for column, (finding, ax) in enumerate(zip(facts["findings"], axes, strict=True)):
        truth, p = _known(scores, column)
        metrics = facts["metrics"][finding]
        if metrics["auprc"]["value"] is None:
            _nothing(ax, finding)
            continue
        recall, precision = precision_recall_points(p, truth)
        step = thin(recall)
        ax.axhline(truth.mean(), color=QUIET, linewidth=1, linestyle=":")
        ax.step(np.append(recall[step], recall[-1]), np.append(precision[step], precision[-1]), color=BLUE, where="pre")
        if metrics["precision"]["value"] is not None:
            ax.plot(metrics["sensitivity"]["value"], metrics["precision"]["value"], "o", color=VERMILION, markersize=5)
        _square(ax, "recall (sensitivity)", "precision")
        _head(ax, finding, _bracket("AUPRC", metrics["auprc"]))
    label_outside(figure)
    return figure


def reliability(scores: Scores, facts: dict[str, Any], bins: int = 10) -> "Figure":
    """Draw what happened against what was promised, before and after calibration, with 95% Wilson intervals."""
    figure, axes = panels(len(facts["findings"]))
    for column, (finding, ax) in enumerate(zip(facts["findings"], axes, strict=True)):
        truth, after = _known(scores, column)
        before = _known(scores, column, raw=True)[1]
        if not len(truth):
            _nothing(ax, finding)
            continue
        top = 0.0
        for p, colour, marker, label in ((before, ORANGE, "s", "before"), (after, BLUE, "o", "after")):
            which = equal_mass_bins(p, min(bins, max(1, len(truth) // 5)))
            counts = np.bincount(which)
            mean, share = np.bincount(which, p) / counts, np.bincount(which, truth) / counts
            low, high = wilson(share, counts)
            error = np.maximum(np.stack([share - low, high - share]), 0.0)
            ax.errorbar(mean, share, yerr=error, fmt=marker, color=colour, markersize=3.5, linewidth=0.9, label=label)
            top = max(top, float(mean.max()), float(share.max()))
        top = min(1.0, top * 1.08 + 0.02)
        ax.plot([0, top], [0, top], color=LINE, linewidth=1, linestyle=":")
        metrics = facts["metrics"][finding]
        ax.set(xlim=(0, top), ylim=(0, top), xlabel="predicted", ylabel="observed")
        _head(ax, finding, f"ECE {metrics['ece_raw']['value']:.3f} → {metrics['ece']['value']:.3f}")
    legend_above(figure)
    return figure


def threshold_price(scores: Scores, facts: dict[str, Any]) -> "Figure":
    """Draw what each threshold finds, and what it costs in false alarms a hundred images."""
    figure, axes = panels(len(facts["findings"]))
    for column, (finding, ax) in enumerate(zip(facts["findings"], axes, strict=True)):
        truth, p = _known(scores, column)
        if facts["metrics"][finding]["auroc"]["value"] is None:
            _nothing(ax, finding)
            continue
        false_positive, sensitivity, thresholds = roc_points(p, truth)
        alarms = 100 * false_positive * (1 - truth.mean())
        step = thin(sensitivity)
        where = np.append(np.clip(thresholds[step], 0, 1), 0.0)
        ax.plot(where, 100 * np.append(sensitivity[step], 1.0), color=BLUE, label="found, of 100 with it")
        ax.plot(
            where, np.append(alarms[step], alarms[-1]), color=VERMILION, linestyle="--", label="false alarms, of 100"
        )
        fitted = facts["calibration"]["by_finding"][finding]["details"]
        if fitted["threshold_low"] is not None:
            ax.axvspan(fitted["threshold_low"], fitted["threshold_high"], color=GREEN, alpha=0.15, linewidth=0)
        ax.axvline(scores.thresholds[column], color=GREEN, linewidth=1.2, label="operating point")
        right = float(np.clip(max(np.quantile(p, 0.995), scores.thresholds[column] * 1.5), 0.05, 1.0))
        ax.set(xlim=(0, right), ylim=(0, 103), title=words(finding), xlabel="threshold", ylabel="images, of 100")
    legend_above(figure)
    return figure


def confusion_matrices(facts: dict[str, Any]) -> "Figure":
    """Draw the four counts a finding, shaded by the share of their row."""
    figure, axes = panels(len(facts["findings"]), tall=0.85)
    for finding, ax in zip(facts["findings"], axes, strict=True):
        count = facts["metrics"][finding]["confusion"]
        table = np.array([[count["tp"], count["fn"]], [count["fp"], count["tn"]]])
        share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row in range(2):
            for column in range(2):
                colour = "white" if share[row, column] > 0.55 else INK
                text = f"{table[row, column]:,}\n{share[row, column]:.0%}"
                ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        ax.grid(False)
        ax.set_xticks([0, 1], ["called\npresent", "called\nabsent"])
        ax.set_yticks([0, 1], ["truly\npresent", "truly\nabsent"])
        ax.tick_params(length=0)
        ax.set_title(words(finding))
    return figure


def _known(scores: Scores, column: int, raw: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rows = ~np.isnan(scores.truth[:, column])
    return scores.truth[rows, column], (scores.raw if raw else scores.probabilities)[rows, column]


def _square(ax: Any, x: str, y: str) -> None:
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, xticks=_TICKS, yticks=_TICKS)


def _head(ax: Any, finding: str, figure: str) -> None:
    """Write a panel's finding and its figure above it: inside, it would hide the curve of a good or a bad model."""
    ax.set_title(words(finding), pad=16)
    ax.text(0, 1.02, figure, va="bottom", color=QUIET, transform=ax.transAxes)


def _nothing(ax: Any, finding: str) -> None:
    ax.set(title=words(finding), xticks=(), yticks=())
    ax.text(0.5, 0.5, "too few images\nto draw", ha="center", va="center", color=QUIET, transform=ax.transAxes)


def _bracket(name: str, figure: dict[str, Any]) -> str:
    if figure["low"] is None:
        return f"{name} {figure['value']:.2f}"
    return f"{name} {figure['value']:.2f} ({figure['low']:.2f}–{figure['high']:.2f})"
