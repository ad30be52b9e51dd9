"""`thorax data make-phantom` and its companions: synthetic radiographs with exact truth."""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.console import err, out, print_json, progress, table

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("make-phantom")
def make_phantom(
    target: Annotated[Path, typer.Option("--out", help="Output folder: new, empty, or started with the same options.")],
    count: Annotated[int | None, typer.Option(help="Images; by default data.phantom.count.")] = None,
    size: Annotated[int | None, typer.Option(help="Width and height in pixels; by default data.phantom.size.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same bytes; by default data.phantom.seed.")
    ] = None,
    layout: Annotated[str, typer.Option(help="nih, chexpert or dicom.")] = "nih",
    findings: Annotated[
        list[str] | None,
        typer.Option(
            help="nih14, chexpert-report, or names (with commas, or repeated). Each then occurs in 30% of the images "
            "(less where many are chosen); without it, all occur at NIH's rates."
        ),
    ] = None,
    prevalence: Annotated[float | None, typer.Option(help="Prevalence of each finding, if not the default.")] = None,
    severity: Annotated[tuple[float, float], typer.Option(help="Lowest and highest: 0.05 is barely visible.")] = (
        0.1,
        1.0,
    ),
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="prevalence=2, ap_share=0.9, age=+20, exposure=0.6, noise=3, blur=2, scanner=NAME or "
            "confounder=Effusion:0.9 (the side marker follows it). Repeatable.",
        ),
    ] = None,
    label_noise: Annotated[float, typer.Option(help="Share of findings that the labels miss (and add).")] = 0.0,
    uncertain: Annotated[float, typer.Option(help="Share of labels that are −1; layout chexpert only.")] = 0.0,
    masks: Annotated[bool, typer.Option("--masks", help="Also write a mask of every finding.")] = False,
    twins: Annotated[bool, typer.Option("--twins", help="Also write every subject without findings.")] = False,
    workers: Annotated[int, typer.Option(help="Number of processes; 0 means one per core.")] = 0,
    json: Json = False,
) -> None:
    """Render synthetic radiographs with exact labels. The same command resumes."""
    from thorax.datasets.phantom import generate
    from thorax.datasets.phantom.shift import parse_shift

    arguments: dict[str, Any] = {
        **_defaults(count=count, size=size, seed=seed),
        "layout": layout,
        "findings": ",".join(findings or ()) or None,
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
    target: Annotated[Path, typer.Option("--out", help="Output PNG, or a folder for separate pictures.")] = Path(
        "phantom-sheet.png"
    ),
) -> None:
    """Draw phantoms without findings, and every finding at three severities beside its twin."""
    from thorax.datasets.phantom.sheet import contact_sheet

    contact_sheet(target)
    out.print(f"Wrote {target}")


@app.command("phantom-study")
def phantom_study(
    target: Annotated[Path, typer.Option("--out", help="The plot to write (PNG).")] = Path("phantom-severity.png"),
    train_subjects: Annotated[int, typer.Option(help="Training subjects, 15 images each.")] = 120,
    test_subjects: Annotated[int, typer.Option(help="Test subjects, 71 images each.")] = 40,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 64,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 25,
    shuffled: Annotated[bool, typer.Option("--shuffled", help="Shuffle the labels, as a control.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 2,
    json: Json = False,
) -> None:
    """Measure a small network's AUROC for each finding by severity."""
    from thorax.datasets.phantom import study

    images = 15 * train_subjects + (1 + 14 * len(study.SEVERITIES)) * test_subjects
    with progress("Rendering for the study", images) as advance:
        found = study.severity_study(
            train_subjects,
            test_subjects,
            size,
            epochs,
            shuffled=shuffled,
            workers=workers,
            advance=advance,
        )
    study.draw_study(found, target)
    if json:
        print_json(found)
        return
    rows = [
        (name, *(f"{at['value']:.2f} ({at['low']:.2f}–{at['high']:.2f})" for at in found["auroc"][name]))
        for name in found["findings"]
    ]
    levels = [f"{level:g}" for level in found["severities"]]
    table("AUROC against the same subjects in health, by severity", ("finding", *levels), rows, right=levels)
    out.print(f"Wrote {target}", soft_wrap=True)


@app.command("phantom-transfer")
def phantom_transfer(
    root: Annotated[Path, typer.Option(help="Real radiographs in NIH's layout.")],
    phantoms: Annotated[int, typer.Option(help="Phantoms to pretrain on.")] = 2000,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 64,
    epochs: Annotated[int, typer.Option(help="Epochs of every training.")] = 10,
    scratch_epochs: Annotated[int | None, typer.Option(help="Epochs of the training from scratch.")] = None,
    folds: Annotated[int, typer.Option(help="Patient-grouped folds.")] = 3,
    seeds: Annotated[int, typer.Option(help="Repetitions.")] = 3,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 2,
    keep: Annotated[
        Path | None,
        typer.Option(help="Save the pretrained weights to this file."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare training on real radiographs after phantoms with training from scratch."""
    from thorax.datasets.phantom import transfer

    with progress("Training networks", transfer.trainings(folds, seeds)) as advance:
        found = transfer.transfer_study(
            root,
            phantoms,
            size,
            epochs,
            folds,
            seeds,
            workers=workers,
            keep=keep,
            scratch_epochs=scratch_epochs,
            advance=advance,
        )
    if json:
        print_json(found)
        return
    rows = [
        (name, f"{line['scratch']:.3f}", f"{line['pretrained']:.3f}", _difference(line["difference"]))
        for name, line in (*found["findings"].items(), ("mean", found["mean"]))
    ]
    columns = ("finding", "from scratch", "after phantoms", "difference (95%)")
    table(f"AUROC on {found['images']:,} real radiographs, by patient", columns, rows, right=columns[1:])
    told = ", ".join(f"{value:+.3f}" for value in found["by_seed"])
    out.print(f"Mean difference by seed: {told}. On unseen phantoms the network reached {found['phantom_auroc']:.3f}.")


def _difference(line: dict[str, float]) -> str:
    return f"{line['value']:+.3f} ({line['low']:+.3f} to {line['high']:+.3f})"
