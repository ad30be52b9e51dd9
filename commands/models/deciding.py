"""`thorax models promote | approve | reject | rollback | audit`: what a person decides, and whether it was kept."""

from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import err, out, print_json, table
from commands.models.shared import Json, Reason, Set, Which, settings_of
from thorax.errors import RegistryError

if TYPE_CHECKING:
    from thorax.registry.decisions import Decision


def promote(
    which: Which,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Promote although a gate failed; needs --reason.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Make a version the champion, which the service uses."""
    from thorax.registry import promotion

    _say(promotion.promote(settings_of(set_), which, reason=reason, force=force), json)


def approve(which: Which, reason: Reason, set_: Set = None, json: Json = False) -> None:
    """Approve a version for promotion, as a second person."""
    from thorax.registry import promotion

    _say(promotion.approve(settings_of(set_), which, reason=reason), json)


def rollback(
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="An earlier champion.")] = None,
    reason: Reason = "",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Return to the previous champion."""
    from thorax.registry import promotion

    _say(promotion.rollback(settings_of(set_), to, reason=reason), json)


def reject(which: Which, reason: Reason, set_: Set = None, json: Json = False) -> None:
    """Reject a version: it cannot be promoted."""
    from thorax.registry import promotion

    _say(promotion.reject(settings_of(set_), which, reason=reason), json)


def audit(
    accept: Annotated[
        bool, typer.Option("--accept", help="Set a damaged history aside and start a new one; needs --reason.")
    ] = False,
    reason: Reason = "",
    quick: Annotated[bool, typer.Option("--quick", help="Do not fetch the bundles.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Check the history's hash chain, the registry, and the digests of every bundle."""
    from rich.markup import escape

    from thorax.registry import audit as audits

    settings = settings_of(set_)
    if accept:
        entry = audits.accept(settings, reason=reason)
        err.print(f"A new history begins at line {entry.sequence}; the old one lies beside it.")
    found = audits.audit(settings, bundles=not quick)
    if json:
        print_json([vars(remark) for remark in found])
    elif found:
        table(
            "Findings of the audit",
            ("", "location", "problem"),
            [(_SEVERITY[r.severity], r.subject, escape(r.text)) for r in found],
        )
    else:
        out.print(f"[green]History{' and registry' if quick else ', registry and bundles'} agree.[/]")
    problems = [remark for remark in found if remark.severity == "problem"]
    if problems:
        raise RegistryError(f"The audit found {len(problems)} problem{'s' * (len(problems) > 1)}.")


_SEVERITY = {"problem": "[red]problem[/]", "note": "[yellow]note[/]"}


def _say(decision: "Decision", json: bool) -> None:
    if json:
        tree = {"action": decision.action, "version": decision.version, "previous": decision.previous}
        print_json(tree | {"changed": decision.changed, "entry": vars(decision.entry) if decision.entry else None})
        return
    if not decision.changed:
        out.print(f"Nothing to do: version {decision.version} stood so already.")
        return
    if decision.action in ("reject", "approve"):
        out.print(f"Version {decision.version} is {decision.action.removesuffix('e')}ed.")
        return
    before = f", in place of version {decision.previous}" if decision.previous else ""
    out.print(f"[bold]Version {decision.version} is champion[/]{before}.")
    if decision.entry is not None:
        for number, why in decision.entry.evidence.get("skipped", {}).items():
            err.print(f"[yellow]Version {number} was passed over:[/] {why}", soft_wrap=True)
