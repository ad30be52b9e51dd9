"""`make bench-registry`: how quick and how safe promotion is, and how often the gate against the champion is wrong.

    python -m commands.bench.registry --markdown docs/registry.md --json

Four parts, on a scratch registry filled with copies of the newest bundle of this project (or of `--bundle`):

- *speed*: wall time of `thorax models promote` and `rollback`, start of the process included, and of `thorax --help`;
- *load*: the registered bundle through MLflow with pickle forbidden, after PyTorch is imported;
- *race*: processes that promote different versions at once; nothing may be lost;
- *simulation*: pairs of models whose true difference is known, and how many challengers pass.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.console import err, print_json, table

#: What was measured, the figure as text, what it must be, and whether it is; None where nothing was agreed.
Row = tuple[str, str, str, bool | None]
_PARTS = ("speed", "load", "race", "simulation")
_BEGIN, _END = "<!-- figures -->", "<!-- /figures -->"
_COLUMNS = ("part", "what", "measured", "agreed", "")


def bench(
    part: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(_PARTS)}; repeatable. Default: all.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle; default: the newest version's.")] = None,
    processes: Annotated[int, typer.Option(min=2, help="That promote at once.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Promotions a process.")] = 200,
    pairs: Annotated[int, typer.Option(min=10, help="Pairs of models a row of the simulation.")] = 1000,
    patients: Annotated[int, typer.Option(min=50, help="Patients of the simulated test split.")] = 400,
    repeats: Annotated[int, typer.Option(min=1, help="Of each timing; the median counts.")] = 5,
    markdown: Annotated[Path | None, typer.Option(help="Put the figures into this page too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure promotion: its time, its safety, and the errors of the gate against the champion."""
    from commands.bench import registry_parts as parts
    from thorax.errors import InputError, nearest
    from thorax.settings import load

    wanted = part or list(_PARTS)
    for name in wanted:
        if name not in _PARTS:
            raise InputError(f"There is no part {name!r}.", nearest(name, _PARTS))
    settings = load()
    found: dict[str, list[Row]] = {}
    with parts.scratch(settings, bundle, wanted, versions=max(processes, 2)) as home:
        for name in wanted:
            err.print(f"{name} …")
            if name == "speed":
                found[name] = parts.speed(home, repeats)
            elif name == "load":
                found[name] = parts.loading(home, repeats)
            elif name == "race":
                found[name] = parts.race_rows(parts.race(home, processes, rounds))
            else:
                found[name] = parts.simulation(settings, pairs, patients)
    flat = [(name, *row) for name, rows in found.items() for row in rows]
    if markdown is not None:
        _write(markdown, flat)
    if json:
        print_json({name: [_entry(row) for row in rows] for name, rows in found.items()})
        return
    table(
        "Promotion that can be trusted", _COLUMNS, [(*row[:4], _verdict(row[4])) for row in flat], right=_COLUMNS[2:4]
    )


def _write(page: Path, rows: list[tuple[str, str, str, str, bool | None]]) -> None:
    """Put the table between the page's marks, with the machine that it was measured on; other text and parts stay."""
    from commands.bench.figures import rows_kept
    from thorax.errors import InputError
    from thorax.files import write_text
    from thorax.provenance import hardware

    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN) if page.is_file() else ("", "", "")
    block, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"{page} has no place for the figures.", f"It needs a line {_BEGIN} and a line {_END}.")
    machine = hardware()
    told = rows_kept(block, {row[0] for row in rows})
    for part, what, measured, agreed, ok in rows:
        verdict = "" if ok is None else "reached" if ok else "**missed**"
        told.setdefault(part, []).append(f"| {part} | {what} | {measured} | {agreed} | {verdict} |")
    lines = [
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB.",
        "",
        "| part | what | measured | agreed | |",
        "| --- | --- | ---: | ---: | --- |",
        *(line for part in _PARTS for line in told.get(part, [])),
    ]
    write_text(page, before + begin + "\n" + "\n".join(lines) + "\n" + end + after)


def _entry(row: Row) -> dict[str, Any]:
    return dict(zip(("what", "measured", "agreed", "reached"), row, strict=True))


def _verdict(reached: bool | None) -> str:
    return "" if reached is None else "[green]reached[/]" if reached else "[red]missed[/]"


if __name__ == "__main__":
    typer.run(bench)
