"""The page that compares two versions, as one HTML file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thorax.bundle import Bundle
from thorax.files import write_text
from thorax.registry.bundles import fetch_version
from thorax.registry.common import METRICS, Common, align, compare_all, disagreements
from thorax.registry.contrast import differences, evidence_of
from thorax.registry.evidence import digests
from thorax.registry.stores import find_store
from thorax.registry.versions import Version
from thorax.settings import Settings

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

_SIDE = 300
_NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ece": "calibration error",
    "brier": "Brier score",
}


@dataclass(frozen=True)
class Disagreement:
    """An image that the two judge differently: each one's picture, and what it said."""

    finding: str
    truth: str
    pictures: tuple[str, str]
    said: tuple[str, str]
    right: tuple[bool, bool]


def write_page(settings: Settings, one: Version, two: Version, out: Path, store: Path | None = None) -> dict[str, Any]:
    """Write the page, and return its figures.

    Args:
        settings: where the registry is; replicates and confidence.
        one: the challenger.
        two: the champion, or whom else it is compared with.
        out: the file to write.
        store: the image store of the test split; found among this machine's runs where it is not given. Without one
            the page has no pictures, and says so.

    Raises:
        GateError: they have nothing in common to be compared on.
        RegistryError, BundleError: a version's parts are gone or damaged.
    """
    import matplotlib

    from thorax.evaluation.canvas import as_svg, style

    bundles = tuple(Bundle.load(fetch_version(settings, version)) for version in (one, two))
    limits = tuple(dict(zip(b.findings, b.thresholds.tolist(), strict=True)) for b in bundles)
    common = align(evidence_of(settings, one), evidence_of(settings, two), (limits[0], limits[1]))
    found = compare_all(common, settings.evaluation)
    place = find_store(settings, str((bundles[0].info.model_extra or {}).get("split_digest", "")), store)
    pictures = [] if place is None else _pictures(common, (bundles[0], bundles[1]), place)
    with matplotlib.rc_context(style()):
        drawn = {
            "differences": as_svg(_forest(found)),
            "reliability": as_svg(_reliability(common, (one.version, two.version))),
        }
    page = _render(
        one=one,
        two=two,
        found=found,
        verdict=verdict(found, one, two),
        synthetic="true" in (one.facts.get("synthetic"), two.facts.get("synthetic")),
        names=_NAMES,
        better=METRICS,
        figures=drawn,
        pictures=pictures,
        store=place is not None,
        changed={name: pair for name, pair in differences(settings, one, two).items() if len("".join(pair)) < 200},
    )
    write_text(out, page)
    return found


def verdict(found: dict[str, Any], one: Version, two: Version) -> str:
    """Return the result of the comparison in one sentence."""
    mean = found["metrics"]["mean"].get("auroc")
    if not mean or mean["difference"]["low"] is None:
        return "There are too few test patients to compare the two versions."
    d = mean["difference"]
    text = (
        f"Mean AUROC is {mean['one']['value']:.3f} for version {one.version} and {mean['two']['value']:.3f} for "
        f"version {two.version}, a difference of {_signed(d)}."
    )
    if d["low"] > 0:
        return f"Version {one.version} is better on these patients. {text}"
    if d["high"] < 0:
        return f"Version {two.version} is better on these patients. {text}"
    return f"The two versions do not differ significantly on these patients. {text}"


def _forest(found: dict[str, Any]) -> "Figure":
    """Draw the difference in AUROC, sensitivity and specificity of every finding, with its interval."""
    from matplotlib.figure import Figure

    from thorax.evaluation.canvas import BLUE, INK, QUIET, VERMILION, words

    rows = ["mean", *reversed([name for name in found["findings"] if name not in found["left_out"]])]
    figure = Figure(figsize=(11.0, 1.0 + 0.32 * len(rows)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for number, (ax, metric) in enumerate(zip(panels, ("auroc", "sensitivity", "specificity"), strict=True)):
        ax.axvline(0, color=QUIET, linewidth=1)
        for row, name in enumerate(rows):
            d = found["metrics"][name].get(metric, {}).get("difference")
            if not d or d["value"] is None or d["low"] is None:
                continue
            colour = BLUE if d["low"] > 0 else VERMILION if d["high"] < 0 else INK
            ax.plot([d["low"], d["high"]], [row, row], color=colour, linewidth=1.6)
            ax.plot(d["value"], row, "D" if name == "mean" else "o", color=colour, markersize=5)
        ax.set_yticks(range(len(rows)), ["mean of all", *map(words, rows[1:])])
        ax.set(title=f"difference in {_NAMES[metric]}", ylim=(-0.7, len(rows) - 0.3))
        edge = max(0.01, *(abs(at) for at in ax.get_xlim()))
        ax.set_xlim(-edge, edge)
        ax.locator_params(axis="x", nbins=5)
        ax.set_xlabel("← worse        better →")
        ax.tick_params(axis="y", length=0, labelcolor=INK, labelleft=number == 0)
    return figure


def _reliability(common: Common, versions: tuple[str, str], bins: int = 8) -> "Figure":
    """Draw observed against predicted frequency of both models, with 95% Wilson intervals."""
    from thorax.evaluation.calibration_error import equal_mass_bins
    from thorax.evaluation.canvas import BLUE, LINE, ORANGE, legend_above, panels, words
    from thorax.evaluation.resampling import wilson

    figure, axes = panels(len(common.findings))
    for j, (finding, ax) in enumerate(zip(common.findings, axes, strict=True)):
        known = ~np.isnan(common.one.truth[:, j])
        truth, top = common.one.truth[known, j], 0.05
        sides = (
            (common.one, BLUE, "o", f"version {versions[0]}"),
            (common.two, ORANGE, "s", f"version {versions[1]}"),
        )
        for side, colour, marker, label in sides if len(truth) else ():
            p = side.probabilities[known, j]
            which = equal_mass_bins(p, min(bins, max(1, len(truth) // 8)))
            counts = np.bincount(which)
            kept = counts > 0
            mean, share = (np.bincount(which, values)[kept] / counts[kept] for values in (p, truth))
            low, high = wilson(share, counts[kept])
            error = np.maximum(np.stack([share - low, high - share]), 0.0)
            ax.errorbar(mean, share, yerr=error, fmt=marker, color=colour, markersize=3.5, linewidth=0.9, label=label)
            top = max(top, float(mean.max()), float(share.max()))
        top = min(1.0, top * 1.1)
        ax.plot([0, top], [0, top], color=LINE, linewidth=1, linestyle=":")
        ax.set(xlim=(0, top), ylim=(0, top), title=words(finding), xlabel="predicted", ylabel="observed")
    legend_above(figure)
    return figure


def _pictures(common: Common, bundles: tuple[Bundle, Bundle], place: Path) -> list[Disagreement]:
    """Draw the images with the largest disagreement, with the heatmap of each model."""
    from thorax.preprocessing.store import ImageStore

    store = ImageStore.open(place)
    where = {digest: row for row, digest in enumerate(digests(store.rows["image_id"].astype(str)).tolist())}
    chosen = [(row, j, where[common.images[row]]) for row, j in disagreements(common) if common.images[row] in where]
    if not chosen or len({bundle.info.size for bundle in bundles} | {store.size}) > 1:
        return []
    images = store.images([item[2] for item in chosen])
    maps = [bundle.run(images)[2] for bundle in bundles]
    found = []
    for at, (row, j, _) in enumerate(chosen):
        finding, truth = common.findings[j], common.one.truth[row, j] == 1
        said, right, drawn = [], [], []
        for side, bundle, heat in zip((common.one, common.two), bundles, maps, strict=True):
            called = bool(side.decisions[row, j])
            said.append(f"{'present' if called else 'absent'}, probability {side.probabilities[row, j]:.2f}")
            right.append(called == truth)
            drawn.append(_picture(images[at], heat[at, bundle.findings.index(finding)]))
        found.append(
            Disagreement(
                finding,
                "present" if truth else "absent",
                (drawn[0], drawn[1]),
                (said[0], said[1]),
                (right[0], right[1]),
            )
        )
    return found


def _picture(pixels: np.ndarray, map_: np.ndarray) -> str:
    """Return the address of a JPEG of the image with its heat."""
    import cv2

    from thorax.explain import overlay

    larger = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    stream = io.BytesIO()
    overlay(larger, map_, None, colour_bar=False, strength=0.5).save(stream, format="JPEG", quality=86, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _render(**values: Any) -> str:
    """Fill the page; every value is escaped."""
    import jinja2

    from thorax import evaluation
    from thorax.evaluation.canvas import words
    from thorax.evaluation.report import count_text, figure_cell, figure_text, share_text

    folders = [Path(__file__).parent, Path(str(evaluation.__file__)).parent]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"words": words, "figure": figure_text, "share": share_text, "count": count_text}
    environment.filters |= {"cell": figure_cell, "signed": _signed, "signedcell": _signed_cell}
    return environment.get_template("versions.html").render(**values)


def _signed_cell(figure: dict[str, Any] | None) -> "Markup":
    """Return a difference for a table, its interval small beneath it: so two tables fit beside each other."""
    from markupsafe import Markup

    value, _, interval = _signed(figure).partition(" (")
    return Markup('{}<span class="ci">{}</span>').format(value, interval.rstrip(")"))


def _signed(figure: dict[str, Any] | None) -> str:
    """Return a difference with its interval, such as "+0.02 (−0.01 to +0.05)"; a dash where there is none."""
    if not figure or figure.get("value") is None:
        return "–"
    parts = [
        f"{value:+.3f}".replace("-", "−")
        for value in (figure["value"], figure["low"], figure["high"])
        if value is not None
    ]
    return parts[0] if len(parts) < 3 else f"{parts[0]} ({parts[1]} to {parts[2]})"
