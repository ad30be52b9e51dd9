"""How a bench tells what it found: to a person, to a machine, and on a page of the documentation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from commands.bench.figures import VERDICTS, Figure, Table, tables_of
from commands.console import print_json, table

#: On a page the figures stand between these two lines; all else there is written by hand.
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
_HEADING = "### "
_COLOURS = {VERDICTS[True]: "[green]reached[/]", VERDICTS[False]: "[red]missed[/]"}


def tell(
    found: Sequence[Figure] | Mapping[str, Table], *, markdown: Path | None = None, json: bool = False, said: str = ""
) -> None:
    """Tell what was measured.

    Args:
        found: the figures, or tables of other columns by their titles.
        markdown: a page to keep it on too.
        json: whether a machine listens, and no person.
        said: what was measured, for the page.
    """
    tables = dict(found) if isinstance(found, Mapping) else tables_of(found)
    if markdown is not None:
        keep(markdown, tables, f"{_machine()} {said}".rstrip())
    if not json:
        for title, one in tables.items():
            show(title, one)
    elif isinstance(found, Mapping):
        print_json(
            {title: [dict(zip(one.columns, row, strict=True)) for row in one.rows] for title, one in tables.items()}
        )
    else:
        print_json([asdict(figure) for figure in found])


def show(title: str, found: Table) -> None:
    """Print a table."""
    from rich.markup import escape

    rows = [[_COLOURS.get(cell) or escape(cell) for cell in row] for row in found.rows]
    table(escape(title), found.columns, rows, right=[name for name in found.columns[1:] if name])


def keep(page: Path, tables: Mapping[str, Table], said: str = "") -> None:
    """Put tables between the marks of a page; what was not measured now stays, as do the words around.

    Args:
        page: a Markdown file; one without marks is given them at its end.
        tables: by their titles.
        said: what stands above them; "" leaves what is there.

    Raises:
        InputError: the page has only the first mark.
    """
    from thorax.errors import InputError
    from thorax.files import write_text

    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    block, end, after = rest.partition(END)
    if begin and not end:
        raise InputError(f"The figures of {page} have no end.", f"Put a line {END} behind them.")
    if not begin:
        before, after = f"{text.rstrip()}\n\n" if text else "", "\n"
    sections = _sections(block) | {title: _markdown(one) for title, one in tables.items()}
    if said:
        sections[""] = said
    parts = [f"{_HEADING}{title}\n\n{body}" if title else body for title, body in sections.items()]
    write_text(page, before + "\n\n".join([BEGIN, *filter(None, parts), END]) + after)


def _sections(block: str) -> dict[str, str]:
    r"""Return what stands under each heading, in order; under "" what comes before the first.

    >>> _sections("intro\n\n### a\n\n1\n\n### b\n\n2")
    {'': 'intro', 'a': '1', 'b': '2'}
    """
    first, *others = f"\n{block}".split(f"\n{_HEADING}")
    found = {"": first.strip()}
    for one in others:
        title, _, body = one.partition("\n")
        found[title.strip()] = body.strip()
    return found


def _markdown(found: Table) -> str:
    sides = ["---:" if name else "---" for name in found.columns[1:]]
    # A bar within a cell would end it.
    rows = ([cell.replace("|", "\\|") for cell in row] for row in (found.columns, *found.rows))
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'|'.join(['---', *sides])}|", *body])


def _machine() -> str:
    from thorax.provenance import hardware

    here = hardware()
    return f"Measured on {here['processor']}, {here['cores']} cores, {here['memory_gib']} GiB."
