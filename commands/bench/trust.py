"""`make bench-trust`: whether a model may be believed, measured, beside what was agreed.

    python -m commands.bench.trust --real ../shared/data --markdown docs/trust.md

`--list` says what the parts are. Those that need real radiographs are left out where there are none.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.console import err, out, print_json, progress, table
from thorax.errors import InputError, ThoraxError, nearest

#: What was measured, the figure as text, what it must be, and whether it is; None where nothing was agreed.
Row = tuple[str, str, str, bool | None]
PARTS = {
    "published": "a published DenseNet's probabilities for 22,433 real radiographs, calibrated on one half of the "
    "patients and judged on the other, ten halves",
    "own": "small networks trained here on nih256 with the focal loss (kept under var/bench/trust): calibration, "
    "operating points",
    "strange": "such a network's out-of-distribution score against photographs, CT and MR, negatives, turned and "
    "childlike images",
    "explain": "its heatmaps beside the grad-cam library's and random maps: boxes, deletion and insertion, "
    "redrawn weights",
    "speed": "the bootstrap, the report page, and the price of explanations; needs no real radiograph",
}
#: In a Markdown file the table stands between these two lines.
BEGIN, END = "<!-- make bench-trust -->", "<!-- end of make bench-trust -->"


def bench(
    real: Annotated[Path | None, typer.Option(help="Folder of real radiographs; default: THORAX_REAL_DATA.")] = None,
    part: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}; repeatable. Default: all.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each own network.")] = 10,
    networks: Annotated[int, typer.Option(min=1, help="Own networks, which differ in their seed.")] = 3,
    list_parts: Annotated[bool, typer.Option("--list", help="Say what the parts are, and measure nothing.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table into this Markdown file, in the place of the one there.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure calibration, conformal answers, strangeness, explanation and evaluation."""
    from commands.bench import trust_own as with_network
    from commands.bench import trust_parts as parts
    from thorax.settings import load

    if list_parts:
        table("Parts of bench-trust", ("part", "what it measures"), PARTS.items())
        return
    wanted = part or list(PARTS)
    for name in wanted:
        if name not in PARTS:
            raise InputError(f"There is no part {name!r}.", nearest(name, PARTS))
    settings = load()
    folder = real or Path(os.environ.get("THORAX_REAL_DATA", settings.home.parent / "shared" / "data"))
    have = (folder / "nih256").is_dir() and (folder / "labels").is_dir()
    made = with_network.Own(settings, folder.resolve(), epochs, networks)
    jobs: dict[str, Callable[[], list[Row]]] = {
        "published": lambda: parts.published(folder),
        "own": lambda: with_network.own(made),
        "strange": lambda: with_network.strange(made),
        "explain": lambda: with_network.explain(made),
        "speed": parts.speed,
    }
    found: dict[str, list[Row]] = {}
    with progress("Measuring", total=len(wanted)) as advance:
        for name in wanted:
            if have or name == "speed":
                found[name] = jobs[name]()
            advance()
    if markdown is not None:
        write_markdown(markdown, found)
    if json:
        print_json({name: [_entry(row) for row in rows] for name, rows in found.items()})
        return
    rows = [(name, what, value, must, _verdict(ok)) for name, part_ in found.items() for what, value, must, ok in part_]
    table("May it be believed?", ("part", "what", "measured", "agreed", ""), rows, right=("measured", "agreed"))
    if not have:
        out.print(f"No real radiographs in {folder}: only what needs none was measured. Name a folder with --real.")


def write_markdown(file: Path, found: dict[str, list[Row]]) -> None:
    """Write the table between its two marks in a Markdown file; a file without them is given them at its end.

    Parts that were not measured now keep their rows.
    """
    from commands.bench.figures import rows_kept
    from thorax.files import write_text

    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    before, mark, rest = text.partition(BEGIN)
    table = rows_kept(rest.partition(END)[0], found)
    for name, rows in found.items():
        for what, value, must, ok in rows:
            verdict = "" if ok is None else "reached" if ok else "**missed**"
            cells = (name, what, value, must, verdict)
            row = f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
            table.setdefault(name, []).append(row)
    head = [BEGIN, "", "| part | what | measured | agreed | |", "|---|---|---:|---:|---|"]
    rows_in_order = [row for name in (*PARTS, *(set(table) - set(PARTS))) for row in table.get(name, [])]
    block = "\n".join([*head, *rows_in_order, "", END])
    after = rest.partition(END)[2] if mark else ""
    if not mark:
        before = f"{text.rstrip()}\n\n" if text else ""
        after = "\n"
    write_text(file, before + block + after)


def _entry(row: Row) -> dict[str, Any]:
    return dict(zip(("what", "measured", "agreed", "reached"), row, strict=True))


def _verdict(reached: bool | None) -> str:
    return "" if reached is None else "[green]reached[/]" if reached else "[red]missed[/]"


if __name__ == "__main__":
    try:
        typer.run(bench)
    except ThoraxError as error:
        err.print(f"error: {error.message} {error.mend}", markup=False)
        sys.exit(error.exit_code)
