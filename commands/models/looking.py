"""`thorax models list | show | history | card | ui`: what the registry knows."""

import json as _json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import out, print_json, table
from commands.models.shared import SIGN, Json, Set, Which, decisions, figure, settings_of, short, told

if TYPE_CHECKING:
    from thorax.registry.versions import Version


def list_(set_: Set = None, json: Json = False) -> None:
    """List all versions, newest first."""
    from thorax.registry.versions import list_versions

    found = list_versions(settings_of(set_))
    if json:
        print_json([item.as_dict() for item in found])
        return
    if not found:
        out.print("No model is registered yet. Train one: [cyan]thorax pipeline run[/]")
        return
    rows = [
        (
            item.version,
            ", ".join(dict.fromkeys((item.state, *item.aliases))),
            _verdict(item),
            item.facts.get("architecture", "") + (" (phantoms)" if item.facts.get("synthetic") == "true" else ""),
            figure(item, "auroc"),
            figure(item, "ece"),
            f"{item.created:%Y-%m-%d}",
        )
        for item in found
    ]
    columns = ("version", "state", "gates", "architecture", "AUROC", "ECE", "created")
    table(f"Versions of {found[0].name}: test split, mean over findings", columns, rows, right=("AUROC", "ECE"))


def show(which: Which = "champion", set_: Set = None, json: Json = False) -> None:
    """Show a version's gates, lineage and decisions."""
    from rich.markup import escape

    from thorax.registry.versions import resolve

    settings = settings_of(set_)
    item = resolve(settings, which)
    entries = [entry for entry in decisions(settings) if item.version in (entry.source, entry.target)]
    if json:
        print_json(item.as_dict() | {"history": [vars(entry) for entry in entries]})
        return
    out.print(
        f"[bold]{item.name} version {item.version}[/] is {item.state}; aliases: {', '.join(item.aliases) or 'none'}"
    )
    if item.facts.get("synthetic") == "true":
        out.print("[yellow]Trained on synthetic phantoms: its figures do not apply to patients.[/]")
    rows = [(gate.name, SIGN[gate.passed], escape(gate.text)) for gate in item.gates]
    table("Gates", ("gate", "verdict", "found"), rows)
    if item.forced:
        out.print(f"[yellow]Promoted although a gate did not pass:[/] {escape(item.forced)}", soft_wrap=True)
    for one in item.approvals:
        out.print(f"Approved by [bold]{escape(one['who'])}[/] on {one['time'][:10]}: {escape(one['reason'])}")
    table("Lineage", ("item", "value"), [(key, escape(short(value))) for key, value in _chain(item)])
    table("Decisions", ("time (UTC)", "decision", "user", "reason"), [told(entry) for entry in entries])


def _verdict(item: "Version") -> str:
    """Passed, or how many gates failed; `show` names them."""
    failed = sum(not gate.passed for gate in item.gates)
    return f"[red]{failed} failed[/]" if failed else SIGN[item.passed]


#: The chain in the order in which one follows it: what it is, the data, the code, the run, the machine.
_ORDER = (
    *("architecture", "findings", "size", "synthetic", "test_images", "bytes", "members"),
    *("data_source", "data_revision", "manifest_digest", "split_digest", "git_commit", "git_clean", "code_digest"),
    *("params_digest", "pipeline_run", "training_run", "run", "bundle", "hardware", "versions"),
)


def _chain(item: "Version") -> "Iterator[tuple[str, str]]":
    """Everything that is recorded of a version's origin, a row each; what holds several facts is taken apart."""
    known = dict(item.facts) | dict(item.lineage) | {"bundle": item.bundle_digest, "run": item.run_id}
    names = [name for name in _ORDER if name in known] + sorted(set(known) - set(_ORDER))
    for name in names:
        try:
            value = _json.loads(known[name])
        except ValueError:
            value = known[name]
        if isinstance(value, Mapping):
            yield from ((f"{name}: {key}", str(part)) for key, part in value.items())
        elif isinstance(value, list):
            yield from (
                (f"{name}: {part.get('version', '')}", part.get("architecture", "") + " " + part.get("bundle", ""))
                for part in value
                if isinstance(part, Mapping)
            )
        else:
            yield name, known[name]


def history(set_: Set = None, json: Json = False) -> None:
    """List every decision: who, when, why, from which version to which."""
    entries = decisions(settings_of(set_))
    if json:
        print_json([vars(entry) for entry in entries])
        return
    table("Decisions, oldest first", ("time (UTC)", "decision", "user", "reason"), [told(entry) for entry in entries])


def ui(port: Annotated[int, typer.Option(help="Port, on this machine only.")] = 5000, set_: Set = None) -> None:
    """Start MLflow's web pages. Stop with Ctrl-C."""
    from thorax.registry.ui import become_server, needs_server

    settings = settings_of(set_)
    if not needs_server(settings):
        out.print(f"MLflow's pages are at {settings.tracking_uri}")
        return
    out.print(f"MLflow starts at [cyan]http://127.0.0.1:{port}[/]; end it with Ctrl-C.")
    become_server(settings, port)


def card(which: Which = "champion", set_: Set = None, json: Json = False) -> None:
    """Print a version's model card."""
    from rich.markdown import Markdown

    from thorax.registry.bundles import fetch

    text = (fetch(settings_of(set_), which) / "model_card.md").read_text(encoding="utf-8")
    if json:
        print_json({"card": text})
    elif out.is_terminal:
        out.print(Markdown(text))
    else:
        out.print(text, markup=False, soft_wrap=True)
