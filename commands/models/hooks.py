"""`thorax models webhook add | list | remove`: MLflow's server tells a service that the champion changed."""

import os
from typing import Annotated

import typer

from commands.console import err, out, print_json, table
from commands.models.shared import Json, Set, settings_of

app = typer.Typer(no_args_is_help=True)


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Address of the service's serve.webhook_port.")],
    name: Annotated[str, typer.Option(help="Name of the webhook on the server.")] = "thorax-service",
    set_: Set = None,
    json: Json = False,
) -> None:
    """Add a webhook that is called when an alias changes, signed with THORAX_WEBHOOK_SECRET."""
    from thorax.registry import webhooks

    made = webhooks.add(settings_of(set_), name, url, os.environ.get(webhooks.SECRET, ""))
    if json:
        print_json(made.as_dict())
    else:
        named = f"(webhook {made.id}, {made.name})"
        out.print(f"The server notifies {made.url} of changes, within a minute from now {named}.", soft_wrap=True)
        err.print(f"The service needs the same {webhooks.SECRET} in its environment.")


@app.command("list")
def list_(set_: Set = None, json: Json = False) -> None:
    """List the server's webhooks."""
    from thorax.registry.webhooks import list_webhooks

    found = list_webhooks(settings_of(set_))
    if json:
        print_json([item.as_dict() for item in found])
        return
    rows = [(item.id, item.name, item.url, item.status, ", ".join(item.events)) for item in found]
    table("Webhooks", ("id", "name", "address", "status", "events"), rows)


@app.command()
def remove(
    which: Annotated[str, typer.Argument(help="A webhook's id or name.")], set_: Set = None, json: Json = False
) -> None:
    """Remove a webhook from the server."""
    from thorax.registry import webhooks

    gone = webhooks.remove(settings_of(set_), which)
    if json:
        print_json(gone.as_dict())
    else:
        out.print(f"The server no longer notifies {gone.url}.")
