"""What the commands of `thorax data` share: their options, settings, and words for the state of the data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.console import progress

if TYPE_CHECKING:
    from thorax.datasets.versioning import State
    from thorax.settings import Settings

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S data.findings=nih14."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Source = Annotated[str | None, typer.Option(help="phantom, nih, chexpert or table. [default: data.source]")]
Root = Annotated[Path | None, typer.Option("--root", help="The dataset's folder. [default: data.root]")]
Out = Annotated[Path | None, typer.Option("--out", help="Output folder. [default: below paths.var]")]


def load(set_: list[str] | None, source: str | None = None, root: Path | None = None) -> "Settings":
    """Settings with the overrides; a root on the command line starts at the working directory."""
    from thorax.settings import load as read

    overrides = list(set_ or ())
    if source is not None:
        overrides.append(f"data.source={source}")
    if root is not None:
        overrides.append(f"data.root={root.absolute()}")
    return read(overrides=overrides)


def opened_root(settings: "Settings") -> Path:
    """Return the folder that adapters read: the data root, or where a packed one is unpacked."""
    from thorax.datasets import pack

    if not pack.is_packed(settings.data_root):
        return settings.data_root
    with progress("Unpacking", None) as advance:
        return pack.opened(settings.data_root, settings.var, advance)


def words(now: "State") -> str:
    """Say how the data stand to their recorded revision, and what to do."""
    told: dict[Any, str] = {
        "clean": "as recorded" if now.cached else "as recorded, and not in DVC's cache: `dvc add` keeps a copy",
        "modified": "changed since it was recorded: `dvc add` records it, `dvc checkout` goes back",
        "missing": "missing: `dvc pull` fetches it"
        if now.pointer
        else "no dataset is there: `thorax data add` brings one in, `thorax data make-phantom` makes one",
        "untracked": "not versioned: `thorax data add` does it",
    }
    return told[now.condition]
