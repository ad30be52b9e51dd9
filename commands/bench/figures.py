"""What a bench found beside what it should reach, as a table for people and as Markdown for a page."""

from collections.abc import Iterable, Sequence
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
    """Write a page with one table a part; parts that were not measured now keep what the page says of them."""
    from thorax.files import write_text

    sections = sections_of(path.read_text(encoding="utf-8"), "## ") if path.is_file() else {}
    for part in dict.fromkeys(one.part for one in figures):
        rows = rows_of([one for one in figures if one.part == part])
        table = [
            "| what | found | should be | |",
            "|---|---:|---:|---|",
            *(f"| {' | '.join(row[1:])} |" for row in rows),
        ]
        sections[part] = "\n".join(["", *table, ""])
    body = "\n".join(f"## {name}\n{text.rstrip()}\n" for name, text in sections.items())
    write_text(path, f"# {title}\n\n{said}\n\n{body}")


def sections_of(text: str, mark: str) -> dict[str, str]:
    r"""Return what stands under each heading that begins with `mark`, in order, without what comes before the first.

    >>> sections_of("intro\n## a\n1\n## b\n2", "## ")
    {'a': '1\n', 'b': '2'}
    """
    found: dict[str, str] = {}
    name = None
    for line in text.splitlines(keepends=True):
        if line.startswith(mark):
            name = line.removeprefix(mark).strip()
            found[name] = ""
        elif name is not None:
            found[name] += line
    return found


def rows_kept(block: str, measured: Iterable[str]) -> dict[str, list[str]]:
    r"""Return the rows of a Markdown table, by their first cell, but for those of what was measured anew and the head.

    >>> rows_kept("| part | x |\n|---|---|\n| a | 1 |\n| b | 2 |", ["b"])
    {'a': ['| a | 1 |']}
    """
    found: dict[str, list[str]] = {}
    for line in [line for line in block.splitlines() if line.startswith("|")][2:]:
        part = line.split("|")[1].strip()
        if part not in measured:
            found.setdefault(part, []).append(line)
    return found
