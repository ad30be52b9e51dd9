"""`thorax models compare | diff`: two versions side by side."""

from pathlib import Path
from typing import Annotated

import typer

from commands.console import err, out, print_json, table
from commands.models.shared import Json, Set, Which, settings_of, short
from thorax.errors import GateError


def compare(
    one: Which = "challenger",
    two: Annotated[str, typer.Argument(help="The other version.")] = "champion",
    html: Annotated[Path | None, typer.Option(help="Write the full comparison with pictures to this page.")] = None,
    store: Annotated[Path | None, typer.Option(help="Image store for --html. [default: found in the runs]")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Compare two versions on the same test patients, with paired intervals."""
    from dataclasses import asdict

    from thorax.registry import contrast
    from thorax.registry.versions import resolve

    settings = settings_of(set_)
    left, right = resolve(settings, one), resolve(settings, two)
    if html is not None:
        from thorax.registry.page import write_page

        facts = write_page(settings, left, right, html, store)
        if json:
            print_json({"one": left.version, "two": right.version, "page": str(html), **facts})
        else:
            err.print(f"Wrote {html}")
        return
    found = contrast.compare(settings, left, right)
    if isinstance(found, str):
        raise GateError(f"Versions {left.version} and {right.version}: {found}.")
    if json:
        print_json({"one": left.version, "two": right.version, **asdict(found)})
        return
    rows = [
        (name, f"{d.value:+.4f}", f"{d.low:+.4f}", f"{d.high:+.4f}")
        for name, d in ({**found.findings, "mean": found.mean}).items()
    ]
    title = (
        f"AUROC of version {left.version} − version {right.version}, on {found.images:,} images "
        f"of {found.patients:,} patients that neither has learnt from"
    )
    bound = f"{found.confidence:.0%} bound"
    columns = ("finding", "difference", f"lower {bound}", f"upper {bound}")
    table(title, columns, rows, right=columns[1:])
    if found.mean.low <= 0 <= found.mean.high:
        out.print("The two versions do not differ significantly on these patients.")
    else:
        better = left if found.mean.low > 0 else right
        out.print(f"Version {better.version} ranks these patients better.")
    if found.left_out:
        out.print(f"Left out, with too few images of either class: {', '.join(found.left_out)}")


def diff(
    one: Which,
    two: Annotated[str, typer.Argument(help="The other version.")] = "champion",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show what differs between two versions in code, data, parameters and packages."""
    from thorax.registry import contrast
    from thorax.registry.versions import resolve

    settings = settings_of(set_)
    left, right = resolve(settings, one), resolve(settings, two)
    found = contrast.differences(settings, left, right)
    if json:
        print_json(found)
        return
    rows = [(name, short(a), short(b)) for name, (a, b) in found.items()]
    table("Differences", ("item", f"version {left.version}", f"version {right.version}"), rows)
