"""`thorax retrain`: what an alarm does, because a person says so."""

from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import err, out, print_json

if TYPE_CHECKING:
    from thorax.monitoring.loop.journal import Retraining

Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="KEY=VALUE", help="Override a setting, e.g. -S train.epochs=5. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def retrain(
    reason: Annotated[str, typer.Option("--reason", help="Reason; stored with the new version.")],
    abandon: Annotated[
        bool, typer.Option("--give-up", help="Abandon the unfinished retraining instead of resuming it.")
    ] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Add the confirmed cases as a data revision, train on it, and register the result as challenger.

    Resumes a retraining that was interrupted or failed. The budget and the cool-down do not prevent it; it counts
    towards both.
    """
    from commands.follow import following
    from pipelines.watching import trainer
    from thorax.monitoring.loop.rounds import by_hand, give_up
    from thorax.registry.loop import lasting_alarm, tools_of
    from thorax.settings import load

    settings = load(overrides=set_ or ())
    if abandon:
        show(give_up(settings, reason), json)
        return
    with following() as follow:
        alarm = lasting_alarm(settings)
        done = by_hand(settings, reason, tools_of(settings, trainer(follow)), alarm, say)
    if done.decision.action == "resume":
        err.print(f"Went on, as {done.decision.why}.", markup=False)
    assert done.retraining is not None
    show(done.retraining, json)


def say(text: str) -> None:
    """Print what the loop did."""
    err.print(text, markup=False, highlight=False)


def show(retraining: "Retraining", json: bool = False) -> None:
    """Print how a retraining ended, the verdict of each gate, and what to look at next."""
    if json:
        print_json(retraining.as_dict())
        return
    out.print(f"Retraining [bold]{retraining.id}[/]: ", end="")
    out.print(retraining.outcome or "not finished", markup=False)
    trained = retraining.done.get("train")
    for gate in (trained or {}).get("gates", ()):
        sign = "[green]passed[/]" if gate["passed"] else "[red]failed[/]"
        out.print(f"  gate {gate['name']}: {sign}, {gate.get('text') or gate.get('note', '')}", highlight=False)
    promoted = retraining.done.get("promote", {})
    if trained and not promoted.get("champion") and not promoted.get("unchanged"):
        version = trained["version"]
        out.print(f"Next: [cyan]thorax models compare {version} champion[/], [cyan]thorax models promote {version}[/]")
