"""What a bench found beside what it should reach, and tables of it."""

from collections.abc import Sequence
from dataclasses import dataclass

#: How a table says whether what was agreed is reached; nothing where nothing was.
VERDICTS = {True: "reached", False: "**missed**", None: ""}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        part: of the bench; a table a part.
        what: was measured.
        shown: what was found, as a person reads it.
        wanted: what it should be; "" where it only informs.
        good: whether it is; None where nothing is wanted.
        found: the number, where it is one.
    """

    part: str
    what: str
    shown: str
    wanted: str = ""
    good: bool | None = None
    found: float | None = None


def at_least(part: str, what: str, found: float, bound: float, form: str = ".2f", unit: str = "") -> Figure:
    """Return a figure that should reach a bound."""
    return Figure(part, what, format(found, form) + unit, f"≥ {_plain(bound, form)}{unit}", found >= bound, found)


def at_most(part: str, what: str, found: float, bound: float, form: str = ".2f", unit: str = "") -> Figure:
    """Return a figure that should stay within a bound."""
    return Figure(part, what, format(found, form) + unit, f"≤ {_plain(bound, form)}{unit}", found <= bound, found)


def none_of(part: str, what: str, found: int) -> Figure:
    """Return a count that should be zero."""
    return Figure(part, what, str(found), "0", found == 0, found)


def told(part: str, what: str, found: float, form: str = ".1f", unit: str = "") -> Figure:
    """Return a figure that only informs."""
    return Figure(part, what, format(found, form) + unit, found=found)


def _plain(bound: float, form: str) -> str:
    return f"{100 * bound:g}%" if form.endswith("%") else f"{bound:g}"


@dataclass(frozen=True)
class Table:
    """A table; the first column says of what a row is, the others hold figures, one with no name the verdict."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(figures: Sequence[Figure]) -> dict[str, Table]:
    """Return one table a part."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for one in figures:
        found.setdefault(one.part, []).append((one.what, one.shown, one.wanted, VERDICTS[one.good]))
    return {part: Table(("what", "measured", "agreed", ""), rows) for part, rows in found.items()}
