"""`thorax data`: bring datasets in, version, read, check and draw them."""

from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import err, out, print_json, progress, table
from commands.data import phantom
from commands.data import versions as data_versions
from commands.data.shared import Json, Out, Root, Set, Source, load, opened_root, words

if TYPE_CHECKING:
    from pathlib import Path

    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)
app.add_typer(phantom.app)
app.add_typer(data_versions.app)

#: What a person should look at, of what ingest left out: the key in `dataset.json`, and its words.
_LEFT_OUT = {
    "missing_images": "listed in the table, and not on disk: left out",
    "unlisted_images": "on disk, and not in the table: left out",
    "lateral_left_out": "lateral views left out (data.views: frontal)",
    "unreadable_headers": "with a header that cannot be read: for validation to judge",
    "boxes_of_unlisted_images": "boxes of images that the table does not list: left out",
}


@app.command()
def ingest(source: Source = None, root: Root = None, out_: Out = None, set_: Set = None, json: Json = False) -> None:
    """Read a dataset into its manifest, and print what is in it."""
    from thorax.datasets import versioning
    from thorax.datasets.figures import label_counts
    from thorax.datasets.ingest import ingest as read
    from thorax.manifest import read_manifest

    settings = load(set_, source, root)
    target = out_ or settings.var / "manifests" / settings.data.source
    now = versioning.state(settings.home, settings.data_root)
    revision = now.revision if now.condition == "clean" else ""
    root_ = opened_root(settings)
    with progress("Reading images", None) as advance:
        facts = read(settings.data, root_, target, revision, advance)
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
    for key, told in _LEFT_OUT.items():
        if facts.get(key):
            err.print(f"[yellow]{facts[key]:,}[/] {told}")
    if now.condition != "clean":
        err.print(f"[yellow]Revision:[/] {words(now)}; the manifest's digest is used instead.")
    out.print(f"Revision {facts['revision']}; the manifest is in {target}", soft_wrap=True)


@app.command()
def validate(
    source: Source = None,
    root: Root = None,
    out_: Out = None,
    against: Annotated[
        str | None, typer.Option(metavar="REV", help="Also compare prevalence with this revision.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the checks, and stop.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run the pipeline's data validation; exit code 1 on a critical failure."""
    from rich.markup import escape

    import thorax.validation as suite
    from thorax.datasets.ingest import ingest as read
    from thorax.manifest import read_manifest
    from thorax.preprocessing import splits
    from thorax.preprocessing.prepare import prepare, prepared_folder

    settings = load(set_, source, root)
    if list_:
        _list_expectations(settings, json)
        return
    data = settings.data
    target = out_ or settings.var / "validation" / data.source
    bounds = settings.validation
    if against is not None:
        bounds = bounds.model_copy(update={"reference": _reference(settings, against, target / "reference.parquet")})
    root_ = opened_root(settings)
    with progress("Reading images", None) as advance:
        facts = read(data, root_, target / "manifest", advance=advance)
    manifest = read_manifest(target / "manifest" / "manifest.parquet")
    assigned = splits.assign(manifest, data.classes, settings.split)
    with progress("Checking images", facts["images"]) as advance:
        done = prepare(manifest, root_, settings.preprocess, [prepared_folder(settings)], advance=advance)
    with err.status("Judging"):
        result = suite.validate(target / "manifest", data, bounds, target, assigned, done.facts, done.image)
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
        raise typer.Exit(1)


@app.command()
def show(source: Source = None, root: Root = None, out_: Out = None, set_: Set = None, json: Json = False) -> None:
    """Write a page about a dataset: prevalence, co-occurrence, ages, views, sizes, samples with boxes."""
    from thorax.datasets import versioning
    from thorax.datasets.ingest import load as read
    from thorax.datasets.page import dataset_page
    from thorax.files import write_text

    settings = load(set_, source, root)
    # Every view is shown, whatever the pipeline leaves out.
    data = settings.data.model_copy(update={"views": "all"})
    root_ = opened_root(settings)
    with progress("Reading images", None) as advance:
        dataset = read(data, root_, advance)
    now = versioning.state(settings.home, settings.data_root)
    target = out_ or settings.var / "datasets" / f"{data.source}.html"
    with err.status("Drawing"):
        page = dataset_page(dataset, root_, data, now.revision if now.condition == "clean" else "")
    write_text(target, page)
    if json:
        print_json({"page": str(target), "images": len(dataset.manifest), "boxes": len(dataset.boxes)})
    else:
        out.print(f"{len(dataset.manifest):,} images, {len(dataset.boxes):,} boxes: {target}", soft_wrap=True)


def _list_expectations(settings: "Settings", json: bool) -> None:
    """Print every expectation with its bounds and its severity."""
    from thorax.validation import suite

    known = suite.expectations(settings.data, settings.validation)
    severity = suite.severities(known, settings.validation)
    rows = [(one.name, severity[one.name], one.meaning) for one in known]
    if json:
        print_json([dict(zip(("name", "severity", "expected"), row, strict=True)) for row in rows])
    else:
        table("Expectations", ("name", "severity", "expected"), rows)


def _reference(settings: "Settings", revision: str, target: "Path") -> "Path":
    """Write the manifest of an earlier revision, to compare with; no image is fetched."""
    from thorax.datasets import revisions
    from thorax.files import atomic_path

    earlier = revisions.at(settings.home, settings.data, settings.data_root, revision)
    with atomic_path(target) as temporary:
        earlier.dataset.manifest.to_parquet(temporary, index=False)
    return target
