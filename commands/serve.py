"""`thorax serve` and `thorax predict`: answer over HTTP, or for files at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, table
from thorax.errors import InputError

if TYPE_CHECKING:
    from thorax.bundle import Bundle
    from thorax.prediction import Prediction
    from thorax.settings import Settings

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S serve.workers=2. Repeatable."),
]
_WORDS = {"present": "[bold]present[/]", "absent": "absent", "uncertain": "[italic]uncertain[/]"}


def predict(
    images: Annotated[list[Path], typer.Argument(help="Radiographs (PNG, JPEG, TIFF, DICOM), or folders of them.")],
    bundle: Annotated[Path | None, typer.Option(help="A bundle folder, in place of the registry's champion.")] = None,
    version: Annotated[str | None, typer.Option(help="A version of the registry, or an alias.")] = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="Folder for heatmaps, or a .parquet file for a table of all answers.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
    set_: Set = None,
) -> None:
    """Answer for radiographs: probabilities, decisions, and heatmaps as PNG files."""
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    if bundle is not None and version is not None:
        raise InputError("Both --bundle and --version are given.", "Give one of them.")
    files = _files(images)
    model = _bundle(settings, bundle, version)
    if target is not None and target.suffix == ".parquet":
        from commands.batch import predict_table

        predict_table(model, files, target)
        return
    folder = target or Path("predictions")
    answers = []
    for file in files:
        prediction, drawn = _one(model, file, folder)
        answers.append({"file": str(file), **prediction.model_dump(mode="json"), "heatmaps": drawn})
        if not json:
            _show(file, prediction)
    if json:
        print_json(answers)
    else:
        out.print(f"Heatmaps are in {folder}.", markup=False)


def serve(
    port: Annotated[int | None, typer.Option(help="Port of the service; 0 finds a free one.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Serve this bundle folder, not the registry's champion.")] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Without the page for people.")] = False,
    page_port: Annotated[int | None, typer.Option(help="Port of the page; a free one where not given.")] = None,
    set_: Set = None,
) -> None:
    """Serve the champion: a prediction service, and a page to try it on. Ends with Ctrl-C."""
    import time

    from serving.launch import ending_on_signals, launched
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    err.print("Starting …")
    with (
        ending_on_signals(),
        launched(settings, bundle, port, page=not no_page, page_port=page_port, wait=False) as started,
    ):
        rows = [("Predictions", f"{started.address}/predict"), ("API", f"{started.address}/")]
        rows += [("Page", started.page)] if started.page else []
        rows += [
            ("Prediction log", str(settings.var / "serving" / "predictions.db")),
            ("Service log", str(started.log)),
        ]
        table("Serving", ("what", "where"), rows)
        out.print("Research software; not a medical device. Ctrl-C ends it.")
        said = ""
        while True:
            started.check()
            note = started.state()
            if note != said:
                err.print(note, markup=False)
                said = note
            time.sleep(1)


def _bundle(settings: "Settings", folder: Path | None, version: str | None) -> "Bundle":
    """Load the bundle that is meant, from its folder or from the registry."""
    from thorax.bundle import Bundle

    if folder is not None:
        return Bundle.load(folder)
    from thorax.registry.bundles import fetch_version
    from thorax.registry.versions import CHAMPION, resolve

    found = resolve(settings, version or CHAMPION)
    # The registry's adapter has just compared every file with its digest.
    return Bundle.load(fetch_version(settings, found), version=found.version)


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the images that are meant, folders searched.

    Raises:
        InputError: there is none, or a path does not exist.
    """
    from thorax.imaging import SUFFIXES

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path} does not exist.", "Give a radiograph, or a folder of them.")
    if not files:
        raise InputError("There is no radiograph among what was given.", f"Known: {', '.join(SUFFIXES)}.")
    return files


def _one(model: "Bundle", file: Path, folder: Path) -> "tuple[Prediction, dict[str, str]]":
    """Answer for one file, and write a heatmap a finding; return the answer and the files."""
    from thorax.bundle.drawing import draw
    from thorax.files import atomic_path
    from thorax.imaging import read_image

    radiograph = read_image(file)
    prediction = model.predict([radiograph])[0]
    drawn = {}
    for finding, picture in draw(model, radiograph, prediction).items():
        path = folder / f"{file.stem}-{finding}.png"
        with atomic_path(path) as temporary:
            temporary.write_bytes(picture)
        drawn[finding] = str(path)
    return prediction, drawn


def _show(file: Path, prediction: "Prediction") -> None:
    from rich.markup import escape

    from thorax.prediction import label, percent

    rows: list[tuple[Any, ...]] = [
        (
            label(answer.finding),
            percent(answer.probability),
            percent(answer.threshold),
            "[bold]yes[/]" if answer.decision else "no",
            _WORDS[answer.conformal],
            f"{answer.uncertainty:.2f}",
        )
        for answer in sorted(prediction.findings, key=lambda one: -one.probability)
    ]
    columns = ("finding", "probability", "cut-off", "reached", "answer", "uncertainty")
    table(escape(str(file)), columns, rows, right=("probability", "cut-off", "uncertainty"))
    for reason in prediction.refer_reasons:
        out.print(f"[bold yellow]Refer to a reader:[/] {escape(reason)}")
    out.print(escape(prediction.summary) + "\n")
