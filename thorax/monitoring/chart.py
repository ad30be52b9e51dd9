"""Small drawings for the pages, as SVG in the page itself: two distributions side by side, and a figure over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Colours that people with any colour vision tell apart (Okabe & Ito 2008); the last two are the page's own.
REFERENCE, WINDOW, LIMIT, QUIET, PAPER = "#8a97a5", "#0072b2", "#d55e00", "var(--line)", "var(--paper)"
_WIDE, _TALL = 300, 92


def bars(reference: Sequence[float], window: Sequence[float], labels: Sequence[str], title: str) -> str:
    """Draw the shares of two samples in the same bins, each a pair of bars.

    Args:
        reference: (k,) shares, in grey.
        window: (k,) shares, in blue.
        labels: (k,) of the bins; the first and the last are written where there is no room for all.
        title: read out to those who do not see it.
    """
    k = max(len(reference), 1)
    most = max([*reference, *window, 1e-9])
    step = _WIDE / k
    parts = []
    for at, (theirs, ours) in enumerate(zip(reference, window, strict=True)):
        for share, offset, colour in ((theirs, 0.10, REFERENCE), (ours, 0.50, WINDOW)):
            tall = (_TALL - 22) * share / most
            parts.append(
                f'<rect x="{(at + offset) * step:.1f}" y="{_TALL - 16 - tall:.1f}" width="{0.38 * step:.1f}" '
                f'height="{tall:.1f}" fill="{colour}"/>'
            )
    shown = range(k) if k <= 4 else (0, k - 1)
    for at in shown:
        anchor = "middle" if k <= 4 else ("start" if at == 0 else "end")
        x = (at + 0.5) * step if k <= 4 else (0 if at == 0 else _WIDE)
        parts.append(f'<text x="{x:.1f}" y="{_TALL - 3}" text-anchor="{anchor}">{escape(labels[at][:18])}</text>')
    parts.append(f'<line x1="0" y1="{_TALL - 16}" x2="{_WIDE}" y2="{_TALL - 16}" stroke="{QUIET}"/>')
    return _svg(_WIDE, _TALL, parts, title)


@dataclass(frozen=True)
class Point:
    """One window of a series: where it lies in time (0 to 1), its value, its interval, and what to say of it."""

    at: float
    value: float
    low: float | None = None
    high: float | None = None
    marked: bool = False
    hollow: bool = False
    said: str = ""


@dataclass(frozen=True)
class Scale:
    """What a series is drawn on: the values at the bottom and at the top, and a line across."""

    low: float
    high: float
    limit: float | None = None
    wide: int = 340
    tall: int = 110

    def y(self, value: float) -> float:
        """Return the height of a value, in the drawing's units from the top."""
        span = (self.high - self.low) or 1.0
        share = min(max((value - self.low) / span, 0.0), 1.0)
        return 8 + (self.tall - 26) * (1 - share)


def series(points: Sequence[Point], scale: Scale, marks: Sequence[tuple[float, str]], ends: tuple[str, str]) -> str:
    """Draw a figure over time.

    Args:
        points: the windows, in the order of time; marked ones are beyond their cut-off, hollow ones estimates.
        scale: what they are drawn on.
        marks: (0 to 1, what happened): promotions, as upright lines.
        ends: what the axis says at its two ends.
    """
    left, right = 34.0, scale.wide - 8.0

    def x(at: float) -> float:
        return left + (right - left) * at

    parts = [_grid(scale, left, right)]
    for at, said in marks:
        parts.append(
            f'<line x1="{x(at):.1f}" y1="6" x2="{x(at):.1f}" y2="{scale.tall - 18}" stroke="#009e73" '
            f'stroke-width="1.5"><title>{escape(said)}</title></line>'
        )
    if scale.limit is not None:
        y = scale.y(scale.limit)
        parts.append(
            f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{LIMIT}" stroke-dasharray="4 3"/>'
        )
    for hollow in (True, False):
        line = " ".join(f"{x(p.at):.1f},{scale.y(p.value):.1f}" for p in points if p.hollow is hollow)
        colour, dashes = (REFERENCE, ' stroke-dasharray="3 3"') if hollow else (WINDOW, "")
        if line:
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
    for p in points:
        parts += _point(p, x(p.at), scale)
    parts.append(f'<text x="{left}" y="{scale.tall - 4}">{escape(ends[0])}</text>')
    parts.append(f'<text x="{right}" y="{scale.tall - 4}" text-anchor="end">{escape(ends[1])}</text>')
    return _svg(scale.wide, scale.tall, parts, "over time")


def _grid(scale: Scale, left: float, right: float) -> str:
    lines = []
    for value in (scale.low, scale.high):
        y = scale.y(value)
        lines.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{QUIET}"/>')
        lines.append(f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    return "".join(lines)


def _point(p: Point, x: float, scale: Scale) -> list[str]:
    y = scale.y(p.value)
    colour = LIMIT if p.marked else (REFERENCE if p.hollow else WINDOW)
    found = []
    if p.low is not None and p.high is not None:
        ends = f'y1="{scale.y(p.low):.1f}" x2="{x:.1f}" y2="{scale.y(p.high):.1f}"'
        found.append(f'<line x1="{x:.1f}" {ends} stroke="{colour}" stroke-opacity=".45" stroke-width="3"/>')
    fill = PAPER if p.hollow else colour
    said = f"<title>{escape(p.said)}</title>" if p.said else ""
    circle = f'cx="{x:.1f}" cy="{y:.1f}" r="{4 if p.marked else 2.6}" fill="{fill}" stroke="{colour}"'
    return [*found, f"<circle {circle}>{said}</circle>"]


def _svg(wide: int, tall: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {wide} {tall}" role="img" aria-label="{escape(title)}" class="chart" '
        f'preserveAspectRatio="xMidYMid meet">{"".join(parts)}</svg>'
    )
