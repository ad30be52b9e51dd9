"""Figures of a dataset: prevalence, co-occurrence, ages, views, sizes, and a sheet of samples with their boxes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from thorax.errors import ImageError
from thorax.manifest import ABSENT, PRESENT, UNCERTAIN, findings_of, label_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY, _INK = "#2b6ca3", "#d98324", "#d5dbe1", "#24313d"
_SEX_COLOURS = {"F": "#7b4fa3", "M": "#2b8a78", "unknown": "#98a4af"}
_DPI = 110
#: Samples a chosen finding, and of images without any.
_SAMPLES = 4
_SHEET_COLUMNS = 6


def prevalence(manifest: pd.DataFrame, chosen: Sequence[str]) -> "Figure":
    """Draw the share of images in which each published finding is present or uncertain; chosen ones are bold."""
    findings = findings_of(manifest)
    labels = label_matrix(manifest, findings)
    present, uncertain = (labels == PRESENT).mean(axis=0), (labels == UNCERTAIN).mean(axis=0)
    order = np.argsort(present, kind="stable")
    figure, axes = _canvas(7.4, 0.27 * len(findings) + 0.9)
    places = np.arange(len(findings))
    axes.barh(places, present[order] * 100, color=_BLUE, label="present")
    if uncertain.any():
        axes.barh(places, uncertain[order] * 100, left=present[order] * 100, color=_ORANGE, label="uncertain")
        axes.legend(frameon=False, loc="lower right")
    counts = (labels == PRESENT).sum(axis=0)[order]
    ends = (present + uncertain)[order] * 100
    for place, end, count, share in zip(places, ends, counts, present[order], strict=True):
        axes.text(end, place, f"  {count:,} ({share:.1%})", va="center", fontsize=8, color=_INK)
    axes.set_yticks(places, [findings[index].replace("_", " ") for index in order])
    for label, index in zip(axes.get_yticklabels(), order, strict=True):
        label.set_fontweight("bold" if findings[index] in chosen else "normal")
    axes.set_xlim(0, max(float(ends.max()) * 1.22, 1.0))
    axes.set_xlabel("share of images, %")
    return figure


def cooccurrence(manifest: pd.DataFrame) -> "Figure":
    """Draw, for every finding that occurs, the share of its images that also show each other one."""
    findings = findings_of(manifest)
    present = label_matrix(manifest, findings) == PRESENT
    seen = np.flatnonzero(present.any(axis=0))
    names = [findings[index].replace("_", " ") for index in seen]
    both = present[:, seen].T.astype(float) @ present[:, seen]
    share = both / np.maximum(np.diag(both), 1)[:, None]
    side = 0.4 * len(names) + 2.2
    figure, axes = _canvas(side, side)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=55, ha="right")
    axes.set_yticks(range(len(names)), names)
    for row, column in np.ndindex(share.shape):
        if share[row, column] >= 0.005:
            colour = "white" if share[row, column] > 0.55 else _INK
            axes.text(
                column, row, f"{share[row, column] * 100:.0f}", ha="center", va="center", fontsize=7, color=colour
            )
    axes.set_xlabel("% of the images of a row's finding that also show this one")
    return figure


def ages(manifest: pd.DataFrame) -> "Figure":
    """Draw the ages in years, by sex; unknown ages are told in the title."""
    figure, axes = _canvas(5.6, 3.0)
    known = manifest["age"].notna()
    top = float(np.nanmax(manifest["age"], initial=1.0)) if known.any() else 1.0
    bins = np.arange(0, max(top, 100) + 5, 5)
    groups = [sex for sex in _SEX_COLOURS if (manifest["sex"] == sex).any()]
    values = [manifest.loc[known & (manifest["sex"] == sex), "age"].to_numpy() for sex in groups]
    if groups:
        names = [f"{sex} ({int((manifest['sex'] == sex).sum()):,})" for sex in groups]
        axes.hist(values, bins=bins, stacked=True, color=[_SEX_COLOURS[sex] for sex in groups], label=names)
        axes.legend(frameon=False, title="sex")
    axes.set_xlabel("age, years" if known.all() else f"age, years ({int((~known).sum()):,} unknown)")
    axes.set_ylabel("images")
    return figure


def views(manifest: pd.DataFrame) -> "Figure":
    """Draw how many images each view has."""
    counts = manifest["view"].value_counts()
    return _bars([str(name) for name in counts.index], counts.to_numpy(), "images", 3.0)


def images_a_patient(manifest: pd.DataFrame) -> "Figure":
    """Draw how many patients have one image, two, and so on; nine stands for nine and more."""
    counts = manifest.groupby("patient_id").size().clip(upper=9).value_counts().sort_index()
    names = [f"{number}{'+' if number == 9 else ''}" for number in counts.index]
    figure = _bars(names, counts.to_numpy(), "patients", 3.0)
    figure.axes[0].set_xlabel("images of a patient")
    return figure


def sizes(manifest: pd.DataFrame) -> "Figure":
    """Draw how many images each size has: the twelve most frequent ones; 0×0 is a header that cannot be read."""
    names = manifest["width"].astype(str) + "×" + manifest["height"].astype(str)
    counts = names.value_counts()
    shown = counts.head(12)
    labels = [str(name) for name in shown.index]
    values = shown.to_numpy()
    if len(counts) > len(shown):
        labels.append(f"{len(counts) - len(shown)} others")
        values = np.append(values, counts.iloc[12:].sum())
    figure = _bars(labels, values, "images", max(3.0, 0.6 * len(labels)))
    if len(labels) > 4:
        figure.axes[0].tick_params(axis="x", rotation=55)
    return figure


def choose_samples(manifest: pd.DataFrame, boxes: pd.DataFrame, chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Choose images for the sheet: of each finding a few, those with a box first, then a few without any finding.

    Returns:
        (image id, why it is shown) pairs; no image stands twice. The same dataset gives the same ones.
    """
    picked: dict[str, str] = {}
    for finding in chosen:
        if finding not in manifest.columns:
            continue
        with_box = set(boxes.loc[boxes["finding"] == finding, "image_id"])
        ids = manifest.loc[manifest[finding] == PRESENT, "image_id"].tolist()
        free = [name for name in ids if name not in picked]
        ranked = sorted(_spread(free), key=lambda name: name not in with_box)
        picked |= dict.fromkeys(ranked[:_SAMPLES], finding)
    labels = label_matrix(manifest, [name for name in chosen if name in manifest.columns])
    none = manifest.loc[~((labels == PRESENT) | (labels == UNCERTAIN)).any(axis=1), "image_id"]
    clear = _spread([name for name in none.tolist() if name not in picked])
    picked |= dict.fromkeys(clear[:_SAMPLES], "none of the chosen findings")
    return list(picked.items())


def samples(manifest: pd.DataFrame, boxes: pd.DataFrame, root: Path, chosen: Sequence[str]) -> "Figure":
    """Draw a sheet of images with the boxes of their findings; one that cannot be read shows its reason."""
    from matplotlib.patches import Rectangle

    from thorax.imaging import read_image

    picked = choose_samples(manifest, boxes, chosen)
    paths = manifest.set_index("image_id")["path"]
    rows = max(1, -(-len(picked) // _SHEET_COLUMNS))
    figure = _figure(_SHEET_COLUMNS * 1.75, rows * 2.05)
    grid = figure.subplots(rows, _SHEET_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (image_id, why) in zip(grid.flat, picked, strict=False):
        axes.set_title(f"{why.replace('_', ' ')}\n{_short(image_id)}", fontsize=7, color=_INK)
        try:
            pixels = read_image(root / paths[image_id]).pixels
        except ImageError as error:
            axes.text(0.5, 0.5, error.message, ha="center", va="center", wrap=True, fontsize=6)
            continue
        height, width = pixels.shape
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        for box in boxes[boxes["image_id"] == image_id].itertuples():
            corner = (box.x * width - 0.5, box.y * height - 0.5)
            size = (box.w * width, box.h * height)
            axes.add_patch(Rectangle(corner, *size, fill=False, linewidth=1.2, edgecolor="#ffb000"))
            axes.text(*corner, box.finding.replace("_", " "), fontsize=6, color="#ffb000", va="bottom")
    return figure


def label_counts(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return counts a published finding: columns `present`, `absent`, `uncertain`, `not_mentioned`, `prevalence`.

    `prevalence` is the share of all images that are labelled present.
    """
    findings = findings_of(manifest)
    labels = label_matrix(manifest, findings)
    counts = pd.DataFrame(
        {
            "present": (labels == PRESENT).sum(axis=0),
            "absent": (labels == ABSENT).sum(axis=0),
            "uncertain": (labels == UNCERTAIN).sum(axis=0),
            "not_mentioned": np.isnan(labels).sum(axis=0),
        },
        index=pd.Index(findings, name="finding"),
    )
    counts["prevalence"] = counts["present"] / max(len(manifest), 1)
    return counts


def png(figure: "Figure") -> bytes:
    """Render a figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    return stream.getvalue()


def _figure(width: float, height: float) -> "Figure":
    # Not pyplot: nothing global is touched, and no window system is asked for.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _canvas(width: float, height: float) -> "tuple[Figure, Axes]":
    figure = _figure(width, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=_INK)
    return figure, axes


def _bars(names: Sequence[str], values: np.ndarray, what: str, width: float) -> "Figure":
    figure, axes = _canvas(width, 3.0)
    bars = axes.bar(range(len(names)), values, color=_BLUE)
    axes.bar_label(bars, labels=[f"{value:,}" for value in values], fontsize=8, color=_INK)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(what)
    axes.margins(y=0.12)
    return figure


def _spread(names: Sequence[str]) -> list[str]:
    """Reorder so that the first few come from all over the list: neighbours are often one patient."""
    count = len(names)
    if count <= _SAMPLES:
        return list(names)
    step = count / _SAMPLES
    first = [int(place * step) for place in range(_SAMPLES)]
    rest = [place for place in range(count) if place not in set(first)]
    return [names[place] for place in (*first, *rest)]


def _short(image_id: str) -> str:
    return image_id if len(image_id) <= 24 else f"…{image_id[-23:]}"
