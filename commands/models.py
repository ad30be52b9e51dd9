"""`thorax models`: which model answers, on what evidence, what it replaced, and how to go back."""

from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import err, out, print_json, table
from thorax.errors import GateError, RegistryError

if TYPE_CHECKING:
    from thorax.registry.decisions import Decision
    from thorax.registry.history import Entry
    from thorax.registry.versions import Version
    from thorax.settings import Settings

app = typer.Typer(no_args_is_help=True)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S registry.name=lung."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]
Which = Annotated[str, typer.Argument(help="A version's number, or an alias such as champion or challenger.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]

_SIGN = {True: "[green]passed[/]", False: "[red]failed[/]"}


@app.command("list")
def list_(set_: Set = None, json: Json = False) -> None:
    """List every version, the newest first."""
    from thorax.registry.versions import list_versions

    found = list_versions(_load(set_))
    if json:
        print_json([item.as_dict() for item in found])
        return
    if not found:
        out.print("No model is registered yet. Train one: [cyan]thorax pipeline run[/]")
        return
    rows = [
        (
            item.version,
            ", ".join(item.aliases),
            item.state,
            _SIGN[item.passed],
            item.facts.get("architecture", ""),
            _figure(item, "auroc"),
            _figure(item, "ece"),
            "phantoms" if item.facts.get("synthetic") == "true" else "radiographs",
            f"{item.created:%Y-%m-%d %H:%M}",
        )
        for item in found
    ]
    columns = ("version", "alias", "state", "gates", "architecture", "AUROC", "ECE", "trained on", "made (UTC)")
    table(f"Versions of {found[0].name}: test split, mean over findings", columns, rows, right=("AUROC", "ECE"))


@app.command()
def show(which: Which = "champion", set_: Set = None, json: Json = False) -> None:
    """Show where a version comes from, what its gates said, and what became of it."""
    from thorax.registry.versions import resolve

    settings = _load(set_)
    item = resolve(settings, which)
    entries = [entry for entry in _decisions(settings) if item.version in (entry.source, entry.target)]
    if json:
        print_json(item.as_dict() | {"history": [vars(entry) for entry in entries]})
        return
    out.print(
        f"[bold]{item.name} version {item.version}[/] is {item.state}; aliases: {', '.join(item.aliases) or 'none'}"
    )
    if item.facts.get("synthetic") == "true":
        out.print("[yellow]Trained on synthetic phantoms: it says nothing about patients.[/]")
    rows = [(gate.name, _SIGN[gate.passed], gate.text) for gate in item.gates]
    table("Gates", ("gate", "verdict", "found"), rows)
    if item.forced:
        out.print(f"[yellow]Promoted although a gate did not pass:[/] {item.forced}", soft_wrap=True)
    chain = item.facts | item.lineage | {"bundle": item.bundle_digest, "run": item.run_id}
    table("Where it comes from", ("what", "value"), [(key, _short(value)) for key, value in chain.items()])
    table("What became of it", ("when (UTC)", "what", "who", "why"), [_told(entry) for entry in entries])


@app.command()
def promote(
    which: Which,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Although a gate did not pass; needs --reason.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Make a version the champion, which is what the service answers with."""
    from thorax.registry import promotion

    _say(promotion.promote(_load(set_), which, reason=reason, force=force), json)


@app.command()
def rollback(
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="An earlier champion.")] = None,
    reason: Reason = "",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Make the champion before this one the champion again."""
    from thorax.registry import promotion

    _say(promotion.rollback(_load(set_), to, reason=reason), json)


@app.command()
def reject(which: Which, reason: Reason, set_: Set = None, json: Json = False) -> None:
    """Say that a version must not be promoted."""
    from thorax.registry import promotion

    _say(promotion.reject(_load(set_), which, reason=reason), json)


@app.command()
def history(set_: Set = None, json: Json = False) -> None:
    """List every decision: who, when, why, from which version to which."""
    entries = _decisions(_load(set_))
    if json:
        print_json([vars(entry) for entry in entries])
        return
    table("Decisions, the oldest first", ("when (UTC)", "what", "who", "why"), [_told(entry) for entry in entries])


@app.command()
def audit(
    accept: Annotated[
        bool, typer.Option("--accept", help="Put a damaged history aside and begin a new one; needs --reason.")
    ] = False,
    reason: Reason = "",
    quick: Annotated[bool, typer.Option("--quick", help="Without fetching every bundle.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Check the history's chain, the registry against it, and every bundle's digests."""
    from thorax.registry import audit as audits

    settings = _load(set_)
    if accept:
        entry = audits.accept(settings, reason=reason)
        err.print(f"A new history begins at line {entry.sequence}; the old one lies beside it.")
    found = audits.audit(settings, bundles=not quick)
    if json:
        print_json([vars(remark) for remark in found])
    elif found:
        table("Found", ("", "where", "what"), [(r.severity, r.subject, r.text) for r in found])
    else:
        out.print("[green]History, registry and bundles agree.[/]")
    problems = [remark for remark in found if remark.severity == "problem"]
    if problems:
        raise RegistryError(f"The audit found {len(problems)} problem{'s' * (len(problems) > 1)}.")


@app.command()
def compare(
    one: Which = "challenger",
    two: Annotated[str, typer.Argument(help="The other version.")] = "champion",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Compare two versions on the same test patients: AUROC, with paired intervals."""
    from dataclasses import asdict

    from thorax.registry import contrast
    from thorax.registry.versions import resolve

    settings = _load(set_)
    left, right = resolve(settings, one), resolve(settings, two)
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
    if found.left_out:
        out.print(f"Left out, with too few images of either class: {', '.join(found.left_out)}")


@app.command()
def diff(
    one: Which,
    two: Annotated[str, typer.Argument(help="The other version.")] = "champion",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show what differs between two versions in code, data, parameters and packages."""
    from thorax.registry import contrast
    from thorax.registry.versions import resolve

    settings = _load(set_)
    left, right = resolve(settings, one), resolve(settings, two)
    found = contrast.differences(settings, left, right)
    if json:
        print_json(found)
        return
    rows = [(name, _short(a), _short(b)) for name, (a, b) in found.items()]
    table("What differs", ("what", f"version {left.version}", f"version {right.version}"), rows)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Where to listen, on this machine alone.")] = 5000, set_: Set = None
) -> None:
    """Open MLflow's own pages on the runs and models. Ends with Ctrl-C."""
    from thorax.registry.ui import become_server, needs_server

    settings = _load(set_)
    if not needs_server(settings):
        out.print(f"MLflow's pages are at {settings.tracking_uri}")
        return
    out.print(f"MLflow starts at [cyan]http://127.0.0.1:{port}[/]; end it with Ctrl-C.")
    become_server(settings, port)


@app.command()
def bench(
    pairs: Annotated[int, typer.Option(help="Pairs of models a row.")] = 1000,
    patients: Annotated[int, typer.Option(help="Patients in the test split.")] = 400,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show how often the gate against the champion is wrong, on pairs of models whose true difference is known."""
    from dataclasses import asdict

    from thorax.registry.simulation import simulate

    settings = _load(set_)
    gates, confidence = settings.registry.gates, settings.evaluation.confidence
    margin = gates.challenger_margin
    cases = [("better", margin, 0.0), ("better", margin, margin), ("better", margin, margin + 0.04)]
    cases += [("not_worse", margin, -margin - 0.04), ("not_worse", margin, -margin), ("not_worse", margin, 0.0)]
    cases += [("not_worse", margin, 0.04)]
    found = []
    for rule, limit, difference in cases:
        err.print(f"{pairs:,} pairs: {rule}, true difference {difference:+.3f} …")
        found.append(simulate(rule, limit, difference, pairs=pairs, patients=patients, confidence=confidence))
    if json:
        print_json([asdict(item) | {"error": item.error} for item in found])
        return
    rows = [
        (item.rule, f"{item.margin:.3f}", f"{item.difference:+.3f}", f"{item.passed:.1%} ± {item.error:.1%}")
        for item in found
    ]
    title = f"Challengers that pass the gate, of {pairs:,} with AUROC 0.80, {patients:,} test patients"
    table(title, ("rule", "margin", "true difference", "passed"), rows, right=("margin", "true difference", "passed"))


@app.command()
def card(which: Which = "champion", set_: Set = None) -> None:
    """Print a version's model card."""
    from rich.markdown import Markdown

    from thorax.registry.bundles import fetch

    text = (fetch(_load(set_), which) / "model_card.md").read_text(encoding="utf-8")
    if out.is_terminal:
        out.print(Markdown(text))
    else:
        out.print(text, markup=False, soft_wrap=True)


def _load(set_: list[str] | None) -> "Settings":
    from thorax.settings import load

    return load(overrides=set_ or ())


def _decisions(settings: "Settings") -> "list[Entry]":
    """What was decided about the model, the oldest first."""
    from thorax.registry.decisions import history_of
    from thorax.registry.history import DONE

    entries = history_of(settings).entries()
    return [entry for entry in entries if entry.stage == DONE and entry.model == settings.registry.name]


def _say(decision: "Decision", json: bool) -> None:
    if json:
        tree = {"action": decision.action, "version": decision.version, "previous": decision.previous}
        print_json(tree | {"changed": decision.changed, "entry": vars(decision.entry) if decision.entry else None})
        return
    if not decision.changed:
        out.print(f"Nothing to do: version {decision.version} stood so already.")
        return
    if decision.action == "reject":
        out.print(f"Version {decision.version} is rejected.")
        return
    before = f", in place of version {decision.previous}" if decision.previous else ""
    out.print(f"[bold]Version {decision.version} is champion[/]{before}.")
    if decision.entry is not None:
        for number, why in decision.entry.evidence.get("skipped", {}).items():
            err.print(f"[yellow]Version {number} was passed over:[/] {why}", soft_wrap=True)


def _told(entry: "Entry") -> tuple[str, str, str, str]:
    """One decision as a row."""
    words = {
        "challenge": f"version {entry.target} registered as challenger",
        "promote": f"version {entry.source or 'none'} → {entry.target} promoted",
        "rollback": f"version {entry.source or 'none'} → {entry.target} rolled back",
        "reject": f"version {entry.target} rejected",
        "outside": f"champion {entry.source or 'none'} → {entry.target or 'none'} changed outside",
        "abandon": f"version {entry.target}: given up, it is gone",
        "accept": "a new history begun",
    }
    forced = entry.evidence.get("forced")
    note = f" (forced past {', '.join(forced)})" if forced else ""
    what = words.get(entry.action, entry.action) + note
    return entry.time[:19].replace("T", " "), what, entry.who, entry.reason


def _figure(item: "Version", metric: str) -> str:
    return f"{item.metrics[metric]:.3f}" if metric in item.metrics else ""


def _short(value: str, length: int = 100) -> str:
    return value if len(value) <= length else f"{value[:length]}…"
