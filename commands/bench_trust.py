"""`make bench-trust`: whether a model may be believed, measured, beside what was agreed.

    python -m commands.bench_trust --real ../shared/data --json

Four parts; those that need real radiographs are left out where there are none:

- *published*: a published DenseNet's probabilities for 22,433 real NIH images, calibrated on one half of the patients
  and judged on the other, ten halves (five splits, each half once for either use);
- *own*: a small network trained here, with the focal loss, on `nih256`; kept under `var/bench/trust`;
- *strange*: that network's out-of-distribution score against photographs, CT and MR, negatives and turned images;
- *speed*: the bootstrap on as many images and findings, the report page, and the price of explanations beside the
  grad-cam library's, in the same run.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.console import out, print_json, progress, table

#: What was measured, the figure as text, what it must be, and whether it is; None where nothing was agreed.
Row = tuple[str, str, str, bool | None]
_PARTS = ("published", "own", "strange", "speed")


def bench(
    real: Annotated[Path | None, typer.Option(help="Folder of real radiographs; default: THORAX_REAL_DATA.")] = None,
    part: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(_PARTS)}; repeatable. Default: all.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of the own network.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure calibration, conformal answers, strangeness, explanation and evaluation."""
    from commands import bench_trust_parts as parts
    from thorax.errors import InputError, nearest
    from thorax.settings import load

    wanted = part or list(_PARTS)
    for name in wanted:
        if name not in _PARTS:
            raise InputError(f"There is no part {name!r}.", nearest(name, _PARTS))
    settings = load()
    folder = real or Path(os.environ.get("THORAX_REAL_DATA", settings.home.parent / "shared" / "data"))
    have = (folder / "nih256").is_dir() and (folder / "labels").is_dir()
    jobs: dict[str, Callable[[], list[Row]]] = {
        "published": lambda: parts.published(folder),
        "own": lambda: parts.own(settings, folder, epochs),
        "strange": lambda: parts.strange(settings, folder, epochs),
        "speed": parts.speed,
    }
    found: dict[str, list[Row]] = {}
    with progress("Measuring", total=len(wanted)) as advance:
        for name in wanted:
            if have or name == "speed":
                found[name] = jobs[name]()
            advance()
    if json:
        print_json({name: [_entry(row) for row in rows] for name, rows in found.items()})
        return
    rows = [(name, what, value, must, _verdict(ok)) for name, part_ in found.items() for what, value, must, ok in part_]
    table("May it be believed?", ("part", "what", "measured", "agreed", ""), rows, right=("measured", "agreed"))
    if not have:
        out.print(f"No real radiographs in {folder}: only what needs none was measured. Name a folder with --real.")


def _entry(row: Row) -> dict[str, Any]:
    return dict(zip(("what", "measured", "agreed", "reached"), row, strict=True))


def _verdict(reached: bool | None) -> str:
    return "" if reached is None else "[green]reached[/]" if reached else "[red]missed[/]"


if __name__ == "__main__":
    typer.run(bench)
