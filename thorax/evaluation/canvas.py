"""The look of all plots: one palette that colour-blind readers tell apart, small panels a finding, labelled axes."""

import base64
import io
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's palette (2008), which most kinds of colour vision tell apart.
BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#56B4E9",
    "#D55E00",
    "#CC79A7",
    "#F0E442",
)
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
INK, QUIET, LINE = "#1f2933", "#697586", "#cbd2d9"
#: Inches: the page's width, and the largest side of a panel.
_PAGE, _PANEL = 10.6, 2.9
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9edf1",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "thorax",
    "figure.dpi": 110,
}


def style() -> dict[str, object]:
    """Return the settings under which every plot is drawn; use as `with matplotlib.rc_context(style())`."""
    return dict(_STYLE)


def panels(count: int, most: int = 5, tall: float = 1.0) -> "tuple[Figure, Iterator[Axes]]":
    """Return a figure of `count` panels, at most `most` a row, and its axes in reading order.

    Args:
        count: of panels.
        most: in a row; few panels are drawn larger.
        tall: height of a panel, of its width.
    """
    from matplotlib.figure import Figure

    columns = min(count, most)
    rows = -(-count // columns)
    side = min(_PANEL, _PAGE / columns)
    figure = Figure(figsize=(columns * side, rows * side * tall), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    flat = [axes for row in grid for axes in row]
    for spare in flat[count:]:
        spare.set_visible(False)
    return figure, iter(flat[:count])


def label_outside(figure: "Figure") -> None:
    """Keep the labels of scales that all panels share to the left column and to the lowest panel of each column."""
    shown = [axes for axes in figure.axes if axes.get_visible()]
    places = {axes: axes.get_subplotspec() for axes in shown}
    lowest: dict[int, int] = {}
    for place in places.values():
        lowest[place.colspan.start] = max(lowest.get(place.colspan.start, 0), place.rowspan.start)
    for axes, place in places.items():
        if place.colspan.start > 0:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if place.rowspan.start < lowest[place.colspan.start]:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)


def legend_above(figure: "Figure") -> None:
    """Write one legend over all panels, taken from the first that was drawn: inside a panel it would hide curves."""
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=8)
            return


def as_svg(figure: "Figure") -> str:
    """Return a figure as the address of an image that holds it whole."""
    stream = io.BytesIO()
    settle(figure)
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode()


def as_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file's bytes."""
    stream = io.BytesIO()
    settle(figure)
    figure.savefig(stream, format="png", dpi=144)
    return stream.getvalue()


def png_address(png: bytes) -> str:
    """Return a PNG file's bytes as the address of an image that holds it whole."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def settle(figure: "Figure") -> None:
    """Lay a figure out once: laying out takes longer than drawing, and every format would do it again."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def words(name: str) -> str:
    """Return a finding's or a group's name as people write it."""
    return name.replace("_", " ")


def thin(values: Sized, most: int = 240) -> slice:
    """Return a slice that keeps about `most` of the points of a curve, the first among them."""
    return slice(None, None, max(1, len(values) // most))
