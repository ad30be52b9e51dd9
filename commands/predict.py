"""`thorax predict`: answer for files at hand, with a bundle or through a service."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, table
from thorax.errors import InputError

if TYPE_CHECKING:
    from commands.answerers import Answerer
    from thorax.bundle import Bundle
    from thorax.prediction import Prediction
    from thorax.settings import Dicom, Settings

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S registry.name=other."),
]
_WORDS = {"present": "[bold]present[/]", "absent": "absent", "uncertain": "[italic]uncertain[/]"}
#: Seconds to wait, in all, for a service that says to come again later.
_PATIENCE = 120.0
#: Files that are named when they are left out; of more, their number is given.
_TOLD = 10


def predict(
    images: Annotated[
        list[Path], typer.Argument(help="Radiographs (PNG, JPEG, TIFF, DICOM), zipped studies, or folders of them.")
    ],
    bundle: Annotated[Path | None, typer.Option(help="A bundle folder, instead of the registry's champion.")] = None,
    version: Annotated[str | None, typer.Option(help="A version number or alias in the registry.")] = None,
    url: Annotated[str | None, typer.Option(help="Send the images to the service at this address.")] = None,
    key: Annotated[str | None, typer.Option(help="An API key of that service.", envvar="THORAX_KEY")] = None,
    authority: Annotated[Path | None, typer.Option(help="PEM file of the service's authority.")] = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="Folder for heatmaps, or a .parquet file for all predictions.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--every-image", help="Answer for lateral and raw images of a study beside its frontal one.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    set_: Set = None,
) -> None:
    """Predict findings on radiographs: probabilities, answers, and heatmaps as PNG files."""
    from commands.answerers import Local, Remote

    if sum(given is not None for given in (bundle, version, url)) > 1:
        raise InputError("More than one of --bundle, --version and --url is given.", "Give one of them.")
    from thorax.settings import Dicom, load

    if url is None:
        settings = load(overrides=set_ or ())
        files = _files(images, settings.preprocess.dicom, every)
        withhold = settings.serve.outside_scope == "withhold"
        model = Local(_bundle(settings, bundle, version), settings.preprocess.dicom, withhold)
        _answer(model, files, target, json)
        return
    from serving.client import Client

    with Client(url, key=key, authority=authority, patience=_PATIENCE) as client:
        _answer(Remote(client), _files(images, Dicom(), every), target, json)


def _answer(answerer: "Answerer", files: Sequence[Path], target: Path | None, json: bool) -> None:
    """Answer for files, as a table where `target` is one, else one by one with heatmaps."""
    if target is not None and target.suffix == ".parquet":
        from commands.batch import predict_table

        failed = predict_table(answerer, files, target)
        if json:
            print_json({"out": str(target), "files": len(files), "refused": failed})
        return
    folder = target or Path("predictions")
    answers = []
    for file in files:
        prediction, drawn = _one(answerer, file, folder)
        answers.append({"file": str(file), **prediction.model_dump(mode="json"), "heatmaps": drawn})
        if not json:
            _show(file, prediction)
    if json:
        print_json(answers)
    else:
        out.print(f"Heatmaps are in {folder}.", markup=False)


def _bundle(settings: "Settings", folder: Path | None, version: str | None) -> "Bundle":
    """Load the bundle that is meant, from its folder or from the registry."""
    from thorax.bundle import Bundle

    if folder is not None:
        return Bundle.load(folder, precision=settings.serve.precision)
    from thorax.registry.bundles import fetch_version
    from thorax.registry.versions import CHAMPION, resolve

    found = resolve(settings, version or CHAMPION)
    # The registry's adapter has just compared every file with its digest.
    return Bundle.load(fetch_version(settings, found), version=found.version, precision=settings.serve.precision)


def _files(paths: Sequence[Path], accept: "Dicom", every: bool) -> list[Path]:
    """Return the images that are meant; folders and DICOMDIRs are searched, and of a study the frontal image is taken.

    Raises:
        InputError: there is none, or a path does not exist.
    """
    from thorax.imaging import SUFFIXES, study

    files: list[Path] = []
    for path in paths:
        if path.is_dir() or path.name.upper() == "DICOMDIR":
            found = study.found_in(path, SUFFIXES) if path.is_dir() else study.listed(path)
            kept, left = (found, {}) if every else study.select(found, accept)
            files += kept
            for file, reason in list(left.items())[:_TOLD]:
                err.print(f"Left out {file}: {reason}", markup=False)
            if len(left) > _TOLD:
                err.print(f"Left out {len(left) - _TOLD:,} more for the like; --every-image answers for them too.")
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path} does not exist.", "Give a radiograph, or a folder of them.")
    if not files:
        raise InputError("There is no radiograph among what was given.", f"Known: {', '.join(SUFFIXES)}.")
    return files


def _one(answerer: "Answerer", file: Path, folder: Path) -> "tuple[Prediction, dict[str, str]]":
    """Answer for one file, and write a heatmap a finding; return the answer and the files."""
    from thorax.files import atomic_path

    prediction, pictures = answerer.explain(file)
    drawn = {}
    for finding, picture in pictures.items():
        path = folder / f"{file.stem}-{finding}.png"
        with atomic_path(path) as temporary:
            temporary.write_bytes(picture)
        drawn[finding] = str(path)
    return prediction, drawn


def _show(file: Path, prediction: "Prediction") -> None:
    from rich.markup import escape

    from thorax.prediction import percent

    rows: list[tuple[Any, ...]] = [
        (
            answer.label,
            percent(answer.probability),
            _WORDS[answer.answer],
            "" if answer.lower is None else f"{answer.lower:.2f}",
            "" if answer.upper is None else f"{answer.upper:.2f}",
            f"{answer.uncertainty:.2f}",
        )
        for answer in sorted(prediction.findings, key=lambda one: -one.probability)
    ]
    columns = ("finding", "probability", "answer", "absent below", "present above", "uncertainty")
    right = ("probability", "absent below", "present above", "uncertainty")
    table(escape(str(file)), columns, rows, right=right)
    for reason in prediction.refer_reasons:
        out.print(f"[bold yellow]Refer to a radiologist:[/] {escape(reason)}")
    for sentence in prediction.image.assumptions:
        out.print(f"Assumed: {escape(sentence)}")
    out.print(escape(prediction.summary) + "\n")
