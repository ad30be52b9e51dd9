"""What the commands on models share: options, the settings, and how figures and decisions are written."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from thorax.registry.history import Entry
    from thorax.registry.versions import Version
    from thorax.settings import Settings

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S registry.name=lung."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Which = Annotated[str, typer.Argument(help="Version number, or an alias such as champion or challenger.")]
Reason = Annotated[str, typer.Option("--reason", help="Reason; stored in the history.")]

SIGN = {True: "[green]passed[/]", False: "[red]failed[/]"}


def settings_of(set_: list[str] | None) -> "Settings":
    """Read the settings."""
    from thorax.settings import load

    return load(overrides=set_ or ())


def decisions(settings: "Settings") -> "list[Entry]":
    """Return what was decided about the model, the oldest first."""
    from thorax.registry.decisions import history_of
    from thorax.registry.history import DONE

    entries = history_of(settings).entries()
    return [entry for entry in entries if entry.stage == DONE and entry.model == settings.registry.name]


def told(entry: "Entry") -> tuple[str, str, str, str]:
    """Return one decision as a row: when, what, who, why."""
    words = {
        "challenge": f"version {entry.target} registered as challenger",
        "promote": f"version {entry.target} promoted" + (f", in place of {entry.source}" if entry.source else ""),
        "approve": f"version {entry.target} approved",
        "rollback": f"rolled back to version {entry.target}" + (f" from {entry.source}" if entry.source else ""),
        "reject": f"version {entry.target} rejected",
        "outside": f"champion {entry.source or 'none'} → {entry.target or 'none'} changed outside",
        "refused": f"version {entry.target}: {entry.evidence.get('wanted', 'change')} refused by MLflow",
        "abandon": f"version {entry.target}: given up, it is gone",
        "accept": "a new history begun",
    }
    from rich.markup import escape

    forced = entry.evidence.get("forced")
    note = f" (forced past {', '.join(forced)})" if forced else ""
    what = escape(words.get(entry.action, entry.action) + note)
    return entry.time[:19].replace("T", " "), what, escape(entry.who), escape(entry.reason)


def figure(item: "Version", metric: str) -> str:
    """Return a version's figure as text, "" where it has none."""
    return f"{item.metrics[metric]:.3f}" if metric in item.metrics else ""


def short(value: str, length: int = 100) -> str:
    """Cut what is too long for a table."""
    return value if len(value) <= length else f"{value[:length]}…"
