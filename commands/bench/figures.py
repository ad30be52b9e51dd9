"""What a bench found beside what it should reach, as a table for people and as Markdown for a page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        part: of the bench.
        what: was measured.
        found: the number.
        shown: the number as a person reads it.
        wanted: what it should be; "" where it only informs.
        good: whether it is; None where nothing is wanted.
    """

    part: str
    what: str
    found: float
    shown: str
    wanted: str = ""
    good: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for a machine."""
        return asdict(self)


def at_least(part: str, what: str, found: float, bound: float, form: str = ".2f") -> Figure:
    """Return a figure that should reach a bound."""
    return Figure(part, what, found, format(found, form), f"≥ {bound:g}", found >= bound)


def at_most(part: str, what: str, found: float, bound: float, form: str = ".2f") -> Figure:
    """Return a figure that should stay within a bound."""
    return Figure(part, what, found, format(found, form), f"≤ {bound:g}", found <= bound)


def none_of(part: str, what: str, found: int) -> Figure:
    """Return a count that should be zero."""
    return Figure(part, what, found, str(found), "0", found == 0)


def told(part: str, what: str, found: float, form: str = ".1f") -> Figure:
    """Return a figure that only informs."""
    return Figure(part, what, found, format(found, form))


def rows_of(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return a table's rows: part, what, found, wanted, verdict."""
    signs = {True: "✔", False: "✗", None: ""}
    return [(one.part, one.what, one.shown, one.wanted, signs[one.good]) for one in figures]


def write_markdown(path: Path, title: str, said: str, figures: Sequence[Figure]) -> None:
    """Write a page with one table a part."""
    from thorax.files import write_text

    lines = [f"# {title}", "", said, ""]
    for part in dict.fromkeys(one.part for one in figures):
        lines += [f"## {part}", "", "| what | found | should be | |", "|---|---:|---:|---|"]
        lines += [f"| {' | '.join(row[1:])} |" for row in rows_of([one for one in figures if one.part == part])]
        lines.append("")
    write_text(path, "\n".join(lines))
