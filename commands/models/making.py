"""`thorax models ensemble | reproduce`: a version made of others, and a version made again from its records."""

from pathlib import Path
from typing import Annotated

import typer

from commands.console import err, out, print_json, table
from commands.models.shared import SIGN, Json, Reason, Set, Which, settings_of
from thorax.errors import GateError


def ensemble(
    versions: Annotated[list[str], typer.Argument(help="At least two versions, by number or alias.")],
    reason: Reason = "",
    store: Annotated[Path | None, typer.Option(help="Image store. [default: found in the runs]")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Register it even if it is not better.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Register the mean of several versions' calibrated probabilities, if it is better than each of them."""
    from dataclasses import asdict

    from thorax.registry.ensemble import ensemble as make

    made = make(
        settings_of(set_),
        versions,
        reason=reason,
        store=store,
        anyway=anyway,
        say=lambda text: err.print(f"  {text} …"),
    )
    if json:
        print_json(asdict(made) | {"passed": made.passed})
        return
    rows = [(gate.name, SIGN[gate.passed], gate.text) for gate in made.gates]
    table(f"Version {made.version} of {made.name}: {', '.join(made.aliases) or 'no alias'}", _COLUMNS, rows)


_COLUMNS = ("gate", "verdict", "found")


def reproduce(
    which: Which = "champion",
    keep: Annotated[Path | None, typer.Option(help="Keep the temporary project in this new folder.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run a version's pipeline again, on its data, code and parameters, and compare every figure."""
    from thorax.registry.reproduction import reproduce as again

    found = again(settings_of(set_), which, keep=keep, say=lambda text: err.print(f"  {text} …"))
    if json:
        print_json(found.as_dict())
    else:
        rows = [(c.what, c.recorded, c.again, _EQUAL[c.equal]) for c in found.origin]
        table(f"Lineage of version {found.version}", ("item", "recorded", "reproduced", ""), rows)
        rows = [(c.what, c.recorded, c.again, _EQUAL[c.equal]) for c in found.shown()]
        table(
            "Figures of the test split", ("item", "recorded", "reproduced", ""), rows, right=("recorded", "reproduced")
        )
        out.print(found.words())
    if not found.equal:
        raise GateError(
            f"Version {found.version} is not reproduced: {found.differing} of {len(found.figures)} figures differ.",
            "Figures are equal only on the same kind of processor, with train.deterministic and device cpu.",
        )


_EQUAL = {True: "[green]equal[/]", False: "[yellow]differs[/]"}
