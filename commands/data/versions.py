"""`thorax data add|status|pull|push|diff|checkout|pack|unpack`: datasets and their revisions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import err, out, print_json, progress, table
from commands.data.shared import Json, Set, load, words
from thorax.errors import InputError
from thorax.provenance import under_git

if TYPE_CHECKING:
    from thorax.settings import Settings

app = typer.Typer()


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="The dataset's folder, or the data root itself to record a change.")],
    move: Annotated[bool, typer.Option("--move", help="Move the files instead of copying them.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Hard-link the files instead of copying them.")] = False,
    packed: Annotated[bool, typer.Option("--pack", help="Store the images in tar shards instead of files.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the present dataset.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Copy a dataset into the data root, and version it with DVC."""
    from thorax.datasets import bring, pack, versioning

    settings = load(set_)
    if move + link + packed > 1:
        raise InputError("--move, --link and --pack exclude each other.", "Choose one, or none to copy.")
    versioning.require_repository(settings.home)
    target = settings.data_root
    if path.resolve() != target.resolve():
        _make_way(settings, target, replace)
        files = bring.files_of(path)
        how: bring.How = "move" if move else "link" if link else "copy"
        with progress("Packing" if packed else "Bringing in", len(files)) as advance:
            if packed:
                pack.pack(path, target, advance=advance)
            else:
                bring.bring(path, target, how, advance)
    elif packed:
        raise InputError(f"{target} is the data root.", "Pack it into another folder first: `thorax data pack`.")
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
    commit = f"[cyan]git add {name} .gitignore && git commit -m 'New data'[/], and " if under_git(settings.home) else ""
    out.print(f"Next: {commit}[cyan]dvc push[/] to share it.", soft_wrap=True)
    if source and source != settings.data.source:
        out.print(f"Set [cyan]data.source: {source}[/] in params.yaml: it says {settings.data.source}.", soft_wrap=True)


@app.command()
def status(set_: Set = None, json: Json = False) -> None:
    """Show the data revision, and whether the files match it."""
    from thorax.datasets import versioning

    settings = load(set_)
    now = versioning.state(settings.home, settings.data_root)
    if json:
        print_json({"root": str(settings.data_root), **now.as_dict()})
    else:
        out.print(f"{settings.data_root}: [bold]{now.revision or 'no revision'}[/], {words(now)}", soft_wrap=True)


@app.command()
def pull(set_: Set = None, json: Json = False) -> None:
    """Fetch the recorded revision from the remote."""
    from thorax.datasets import versioning

    settings = load(set_)
    now = versioning.pull(settings.home, settings.data_root)
    if json:
        print_json({"root": str(settings.data_root), **now.as_dict()})
    else:
        out.print(f"{settings.data_root}: [bold]{now.revision}[/], {words(now)}", soft_wrap=True)


@app.command()
def push(set_: Set = None, json: Json = False) -> None:
    """Upload the recorded revision to the remote."""
    from thorax.datasets import versioning

    settings = load(set_)
    sent = versioning.push(settings.home, settings.data_root)
    if json:
        print_json({"root": str(settings.data_root), "files_sent": sent})
    else:
        out.print(f"{sent:,} files sent." if sent else "The remote has everything already.", soft_wrap=True)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="REV1", help="The older revision: a commit, a tag, HEAD~1.")],
    after: Annotated[
        str, typer.Argument(metavar="REV2", help="The newer revision; `workspace` means the present files.")
    ] = "workspace",
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show what changed between two revisions: images, labels, prevalence. Fetches no images."""
    from thorax.datasets import comparing, revisions
    from thorax.files import write_text

    settings = load(set_)
    with err.status("Reading both revisions"):
        sides = [revisions.at(settings.home, settings.data, settings.data_root, name) for name in (before, after)]
        found = comparing.compare(*sides)
    if html is not None:
        write_text(html, comparing.page(found))
    if json:
        print_json(found.as_dict())
        return
    if found.nothing:
        out.print("The same images with the same labels.")
    columns = ("finding", "then", "share", "now", "share ", "change")
    rows = [_prevalence_row(row) for row in found.findings]
    table(f"Findings: {before} → {after}", columns, rows, right=columns[1:])
    _print_rows("images added", [(name,) for name in found.added])
    _print_rows("images removed", [(name,) for name in found.removed])
    _print_rows("images with another content", [(name,) for name in found.changed])
    _print_rows("images under another patient", found.reassigned)
    _print_rows("labels changed", found.relabelled)
    if html is not None:
        out.print(f"The page: {html}", soft_wrap=True)


@app.command()
def checkout(
    revision: Annotated[str, typer.Argument(help="A commit, a tag, HEAD~1.")], set_: Set = None, json: Json = False
) -> None:
    """Check out a revision of the dataset into its own folder; the working copy does not change."""
    from thorax.datasets import revisions

    settings = load(set_)
    with progress("Fetching", None) as advance:
        folder, digest = revisions.checkout(settings.home, settings.data_root, revision, settings.var, advance)
    if json:
        print_json({"root": str(folder), "revision": digest})
    else:
        out.print(f"{revision} is [bold]{digest}[/]: {folder}", soft_wrap=True)
        out.print(f"Next: [cyan]thorax pipeline run --revision {revision}[/]", soft_wrap=True)


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(help="The dataset's folder.")],
    target: Annotated[Path, typer.Argument(help="Output folder.")],
    shard_mib: Annotated[int, typer.Option(min=1, help="Size of a shard, MiB.")] = 512,
    json: Json = False,
) -> None:
    """Pack a dataset into tar shards with a manifest; every command reads packed datasets."""
    from thorax.datasets import bring
    from thorax.datasets import pack as packing

    with progress("Packing", len(bring.files_of(source)) if source.is_dir() else None) as advance:
        note = packing.pack(source, target, shard_mib, advance)
    if json:
        print_json(note)
    else:
        out.print(f"{note['images']:,} images in {len(note['shards'])} shards: {target}", soft_wrap=True)


@app.command()
def unpack(
    source: Annotated[Path, typer.Argument(help="The packed folder.")],
    target: Annotated[Path, typer.Argument(help="Output folder.")],
    json: Json = False,
) -> None:
    """Unpack a packed dataset into files, checking each digest."""
    from thorax.datasets import pack as packing

    with progress("Unpacking", None) as advance:
        count = packing.unpack(source, target, advance)
    if json:
        print_json({"images": count, "root": str(target)})
    else:
        out.print(f"{count:,} images: {target}", soft_wrap=True)


def _prevalence_row(row: dict[str, Any]) -> tuple[str, ...]:
    shares = row["share_before"], row["share_after"]
    sides = [
        cell
        for side, share in zip(("before", "after"), shares, strict=True)
        for cell in (("–", "–") if share is None else (f"{row[f'count_{side}']:,}", f"{share:.2%}"))
    ]
    change = "–" if None in shares else f"{100 * (shares[1] - shares[0]):+.2f}"
    return (row["finding"], *sides, change)


def _print_rows(what: str, rows: Sequence[tuple[str, ...]], most: int = 5) -> None:
    """Print a count and the first few."""
    if not rows:
        return
    words_ = (f"{' '.join(row[:-2])}: {' → '.join(row[-2:])}" if len(row) > 2 else row[0] for row in rows[:most])
    first = "; ".join(words_)
    more = f", and {len(rows) - most:,} more" if len(rows) > most else ""
    out.print(f"[bold]{len(rows):,}[/] {what}: {first}{more}", soft_wrap=True)


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
            f"{target} is {words(now)}: replacing it would lose files that DVC cannot bring back.",
            f"Run `thorax data add {target}` to keep them, or move the folder away.",
        )
