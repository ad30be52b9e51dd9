"""`thorax data make-phantom` and its companions: synthetic radiographs with exact truth."""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.console import err, out, print_json, progress

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]


@app.command("make-phantom")
def make_phantom(
    target: Annotated[Path, typer.Option("--out", help="The folder to make: missing, empty, or begun the same way.")],
    count: Annotated[int | None, typer.Option(help="Images. [default: data.phantom.count]")] = None,
    size: Annotated[int | None, typer.Option(help="Width and height in pixels. [default: data.phantom.size]")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    layout: Annotated[str, typer.Option(help="nih, chexpert or dicom.")] = "nih",
    findings: Annotated[
        str | None,
        typer.Option(
            help="nih14, chexpert-report, or a list with commas. Each then shows in 30% of the images (less where many "
            "are chosen); without it, all show at the rates of NIH's table."
        ),
    ] = None,
    prevalence: Annotated[float | None, typer.Option(help="The rate of each finding instead.")] = None,
    severity: Annotated[tuple[float, float], typer.Option(help="Lowest and highest: 0.05 is barely visible.")] = (
        0.1,
        1.0,
    ),
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="prevalence=2, ap_share=0.9, age=+20, exposure=0.6, noise=3, blur=2, scanner=NAME or "
            "confounder=Effusion:0.9. Repeatable.",
        ),
    ] = None,
    label_noise: Annotated[float, typer.Option(help="Share of the findings that the labels miss (and make up).")] = 0.0,
    uncertain: Annotated[float, typer.Option(help="Share of the labels that are −1; chexpert alone.")] = 0.0,
    masks: Annotated[bool, typer.Option("--masks", help="Also write a mask of every finding.")] = False,
    twins: Annotated[bool, typer.Option("--twins", help="Also write every subject in health.")] = False,
    workers: Annotated[int, typer.Option(help="Processes; 0 means one a core.")] = 0,
    json: Json = False,
) -> None:
    """Make synthetic radiographs with exact truth; run again to continue what was interrupted."""
    from thorax.datasets.phantom import generate
    from thorax.datasets.phantom.shift import parse_shift

    arguments: dict[str, Any] = {
        **_defaults(count=count, size=size, seed=seed),
        "layout": layout,
        "findings": findings,
        "prevalence": prevalence,
        "severity": severity,
        "shift": parse_shift(shift or ()),
        "label_noise": label_noise,
        "uncertain": uncertain,
        "masks": masks,
        "twins": twins,
    }
    with progress("Rendering phantoms", arguments["count"]) as advance:
        about = generate.make_phantom(target, workers=workers, advance=advance, **arguments)
    if json:
        print_json(about)
        return
    kept = arguments["count"] - about["made"]
    out.print(
        f"{target}: {about['made']:,} phantoms made" + (f", {kept:,} were there already." if kept else "."),
        soft_wrap=True,
    )
    err.print(
        "All of them are SYNTHETIC; phantom.json says how they were made, truth.parquet what they show.", soft_wrap=True
    )


def _defaults(**given: int | None) -> dict[str, int]:
    """Fill in what was not given from `data.phantom` of the project's settings, where there is a project."""
    from thorax.errors import SettingsError
    from thorax.settings import PhantomDefaults, find_home, load

    try:
        home = find_home()
    except SettingsError:
        kept = PhantomDefaults()
    else:
        kept = load(home).data.phantom
    return {name: getattr(kept, name) if value is None else value for name, value in given.items()}


@app.command("phantom-sheet")
def phantom_sheet(
    target: Annotated[Path, typer.Option("--out", help="The picture to write (PNG).")] = Path("phantom-sheet.png"),
) -> None:
    """Draw normal phantoms, and every finding at three severities beside its normal twin."""
    from thorax.datasets.phantom.sheet import contact_sheet

    contact_sheet(target)
    out.print(f"Wrote {target}")
