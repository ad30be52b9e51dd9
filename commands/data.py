"""`thorax data`: bring datasets in, version, read, check and draw them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands import phantom
from commands.console import err, out, print_json, progress, table
from thorax.errors import DataGateError, InputError

if TYPE_CHECKING:
    from thorax.datasets.versioning import State
    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)
app.add_typer(phantom.app)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S data.findings=nih14."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]
Source = Annotated[str | None, typer.Option(help="phantom, nih, chexpert or table. [default: data.source]")]
Root = Annotated[Path | None, typer.Option("--root", help="The dataset's folder. [default: data.root]")]
Out = Annotated[Path | None, typer.Option("--out", help="Where to write. [default: below paths.var]")]

#: What a person should look at, of what ingest left out: the key in `dataset.json`, and its words.
_LEFT_OUT = {
    "missing_images": "listed in the table, and not on disk: left out",
    "unlisted_images": "on disk, and not in the table: left out",
    "lateral_left_out": "lateral views left out (data.views: frontal)",
    "unreadable_headers": "with a header that cannot be read: for validation to judge",
    "boxes_of_unlisted_images": "boxes of images that the table does not list: left out",
}


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="The folder to bring in; the data root itself to record a change.")],
    move: Annotated[bool, typer.Option("--move", help="Move the files instead of copying them.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Hard-link the files instead of copying them.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the dataset that is there.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Bring a dataset's folder in as the data root, and version it with DVC."""
    from thorax.datasets import bring, versioning

    settings = _load(set_)
    if move and link:
        raise InputError("--move and --link exclude each other.", "Choose one, or neither to copy.")
    versioning.require_repository(settings.home)
    target = settings.data_root
    if path.resolve() != target.resolve():
        _make_way(settings, target, replace)
        files = bring.files_of(path)
        how: bring.How = "move" if move else "link" if link else "copy"
        with progress("Bringing in", len(files)) as advance:
            bring.bring(path, target, how, advance)
    source = bring.detect(target, settings.data)
    if not target.is_dir() or source is None:
        wanted = "Data_Entry_2017*.csv (NIH), train.csv (CheXpert), phantom.json, or " + settings.data.table.file
        err.print(f"[yellow]No known table in {target}:[/] expected {wanted}.")
    err.print("Versioning with DVC")
    now = versioning.track(settings.home, target)
    if json:
        print_json({"source": source, "root": str(target), **now.as_dict()})
        return
    out.print(f"{target} is versioned as [bold]{now.revision}[/].", soft_wrap=True)
    name = Path(now.pointer).name
    out.print(
        f"Next: [cyan]git add {name} .gitignore && git commit -m 'New data'[/], and [cyan]dvc push[/] to share it.",
        soft_wrap=True,
    )
    if source and source != settings.data.source:
        out.print(f"Set [cyan]data.source: {source}[/] in params.yaml: it says {settings.data.source}.", soft_wrap=True)


@app.command()
def status(set_: Set = None, json: Json = False) -> None:
    """Say which revision the data is, and whether the files still match it."""
    from thorax.datasets import versioning

    settings = _load(set_)
    now = versioning.state(settings.home, settings.data_root)
    if json:
        print_json({"root": str(settings.data_root), **now.as_dict()})
    else:
        out.print(f"{settings.data_root}: [bold]{now.revision or 'no revision'}[/], {_words(now)}", soft_wrap=True)


@app.command()
def pull(set_: Set = None, json: Json = False) -> None:
    """Fetch the recorded revision from the remote."""
    from thorax.datasets import versioning

    settings = _load(set_)
    now = versioning.pull(settings.home, settings.data_root)
    if json:
        print_json({"root": str(settings.data_root), **now.as_dict()})
    else:
        out.print(f"{settings.data_root}: [bold]{now.revision}[/], {_words(now)}", soft_wrap=True)


@app.command()
def push(set_: Set = None, json: Json = False) -> None:
    """Send the recorded revision to the remote."""
    from thorax.datasets import versioning

    settings = _load(set_)
    sent = versioning.push(settings.home, settings.data_root)
    if json:
        print_json({"root": str(settings.data_root), "files_sent": sent})
    else:
        out.print(f"{sent:,} files sent." if sent else "The remote has everything already.", soft_wrap=True)


@app.command()
def ingest(source: Source = None, root: Root = None, out_: Out = None, set_: Set = None, json: Json = False) -> None:
    """Read a dataset into its manifest, and print what is in it."""
    from thorax.datasets import versioning
    from thorax.datasets.figures import label_counts
    from thorax.datasets.ingest import ingest as read
    from thorax.manifest import read_manifest

    settings = _load(set_, source, root)
    target = out_ or settings.var / "manifests" / settings.data.source
    now = versioning.state(settings.home, settings.data_root)
    revision = now.revision if now.condition == "clean" else ""
    with progress("Reading images", None) as advance:
        facts = read(settings.data, settings.data_root, target, revision, advance)
    counts = label_counts(read_manifest(target / "manifest.parquet"))
    if json:
        print_json({**facts, "out": str(target), "labels": counts.to_dict("index")})
        return
    rows = [
        (f"[bold]{name}[/]" if name in facts["findings"] else name, *(f"{n:,}" for n in row[:-1]), f"{row[-1]:.2%}")
        for name, row in zip(counts.index, counts.astype(object).to_numpy(), strict=True)
    ]
    columns = ("finding", "present", "absent", "uncertain", "not mentioned", "prevalence")
    synthetic = " — SYNTHETIC phantoms" if facts["synthetic"] else ""
    table(f"{settings.data_root} as {facts['source']}{synthetic}", columns, rows, right=columns[1:])
    out.print(f"{facts['images']:,} images of {facts['patients']:,} patients, {facts['boxes']:,} boxes", soft_wrap=True)
    for key, words in _LEFT_OUT.items():
        if facts.get(key):
            err.print(f"[yellow]{facts[key]:,}[/] {words}")
    if now.condition != "clean":
        err.print(f"[yellow]Revision:[/] {_words(now)}; the manifest's own digest stands in.")
    out.print(f"Revision {facts['revision']}; the manifest is in {target}", soft_wrap=True)


@app.command()
def validate(source: Source = None, root: Root = None, out_: Out = None, set_: Set = None, json: Json = False) -> None:
    """Check a dataset as the pipeline's gate does; a critical failure gives exit code 3."""
    from rich.markup import escape

    import thorax.validation as suite
    from thorax.datasets.ingest import ingest as read
    from thorax.manifest import read_manifest
    from thorax.preprocessing import splits
    from thorax.preprocessing.prepare import prepare, prepared_folder

    settings = _load(set_, source, root)
    data = settings.data
    target = out_ or settings.var / "validation" / data.source
    with progress("Reading images", None) as advance:
        facts = read(data, settings.data_root, target / "manifest", advance=advance)
    manifest = read_manifest(target / "manifest" / "manifest.parquet")
    assigned = splits.assign(manifest, data.classes, settings.split)
    with progress("Checking images", facts["images"]) as advance:
        done = prepare(manifest, settings.data_root, settings.preprocess, [prepared_folder(settings)], advance=advance)
    with err.status("Judging"):
        result = suite.validate(target / "manifest", data, settings.validation, target, assigned, done.facts)
    page = target / "report.html"
    if json:
        print_json({**result.as_json(), "page": str(page), "failures": str(target / "failures.parquet")})
    else:
        for outcome in (*result.critical, *result.warnings):
            colour = {"critical": "red", "warning": "yellow"}[outcome.severity]
            out.print(f"[{colour}]{outcome.severity}[/] {escape(str(outcome))}", soft_wrap=True)
        verdict = "[green]passed[/]" if result.success else "[red]did not pass[/]"
        out.print(
            f"{facts['images']:,} images {verdict}: {len(result.outcomes)} expectations, "
            f"{len(result.critical)} critical failures, {len(result.warnings)} warnings. The page to read: {page}",
            soft_wrap=True,
        )
    if not result.success:
        raise typer.Exit(DataGateError.exit_code)


@app.command()
def show(source: Source = None, root: Root = None, out_: Out = None, set_: Set = None, json: Json = False) -> None:
    """Draw a dataset as one page: prevalence, co-occurrence, ages, views, sizes, samples with boxes."""
    from thorax.datasets import versioning
    from thorax.datasets.ingest import load as read
    from thorax.datasets.page import dataset_page
    from thorax.files import write_text

    settings = _load(set_, source, root)
    # Every view is shown, whatever the pipeline leaves out.
    data = settings.data.model_copy(update={"views": "all"})
    with progress("Reading images", None) as advance:
        dataset = read(data, settings.data_root, advance)
    now = versioning.state(settings.home, settings.data_root)
    target = out_ or settings.var / "datasets" / f"{data.source}.html"
    with err.status("Drawing"):
        page = dataset_page(dataset, settings.data_root, data, now.revision if now.condition == "clean" else "")
    write_text(target, page)
    if json:
        print_json({"page": str(target), "images": len(dataset.manifest), "boxes": len(dataset.boxes)})
    else:
        out.print(f"{len(dataset.manifest):,} images, {len(dataset.boxes):,} boxes: {target}", soft_wrap=True)


def _load(set_: list[str] | None, source: str | None = None, root: Path | None = None) -> "Settings":
    """Settings with the overrides; a root on the command line starts at the working directory."""
    from thorax.settings import load

    overrides = list(set_ or ())
    if source is not None:
        overrides.append(f"data.source={source}")
    if root is not None:
        overrides.append(f"data.root={root.absolute()}")
    return load(overrides=overrides)


def _make_way(settings: "Settings", target: Path, replace: bool) -> None:
    """Refuse to overwrite a dataset that was not asked to go, or that DVC could not bring back."""
    from thorax.datasets import versioning

    if not target.is_dir() or not any(target.iterdir()):
        return
    if not replace:
        raise InputError(f"{target} holds a dataset already.", "Give --replace to put this one in its place.")
    now = versioning.state(settings.home, target)
    if now.condition != "clean" or not now.cached:
        raise InputError(
            f"{target} is {_words(now)}: replacing it would lose files that DVC cannot bring back.",
            f"Run `thorax data add {target}` to keep them, or move the folder away.",
        )


def _words(now: "State") -> str:
    words: dict[Any, str] = {
        "clean": "as recorded" if now.cached else "as recorded, and not in DVC's cache: `dvc add` keeps a copy",
        "modified": "changed since it was recorded: `dvc add` records it, `dvc checkout` goes back",
        "missing": "missing: `dvc pull` fetches it"
        if now.pointer
        else "no dataset is there: `thorax data add` brings one in, `thorax data make-phantom` makes one",
        "untracked": "not versioned: `thorax data add` does it",
    }
    return words[now.condition]
