"""`thorax models`: which model answers, on what evidence, what it replaced, and how to go back."""

import typer

from commands.models import comparing, deciding, hooks, looking, making

app = typer.Typer(no_args_is_help=True)
app.command("list")(looking.list_)
app.command()(looking.show)
app.command()(comparing.compare)
app.command()(comparing.diff)
app.command()(deciding.promote)
app.command()(deciding.approve)
app.command()(deciding.reject)
app.command()(deciding.rollback)
app.command()(looking.history)
app.command()(deciding.audit)
app.command()(looking.card)
app.command()(making.reproduce)
app.command()(making.ensemble)
app.command()(looking.ui)
app.add_typer(hooks.app, name="webhook", help="Webhooks that notify a service of a new champion.")
