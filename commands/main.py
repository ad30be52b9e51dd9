"""The `thorax` command."""

import typer

from commands import data, models, monitor, pipeline
from commands.console import out, telling_errors
from commands.crossval import crossval
from commands.log import app as log_app
from commands.monitor import loop as monitor_loop
from commands.predict import predict
from commands.pretrain import pretrain
from commands.retrain import retrain
from commands.serve import app as serve_app
from commands.tune import tune
from thorax import __version__

app = typer.Typer(
    name="thorax",
    help="MLOps for multi-label diagnosis on chest radiographs. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="data", help="Add, version, validate and describe datasets.")
app.add_typer(pipeline.app, name="pipeline", help="Run the training pipeline.")
app.add_typer(models.app, name="models", help="List, compare, promote and roll back models.")
for looping in (monitor_loop.run, monitor_loop.watch, monitor_loop.retrainings, monitor_loop.schedule):
    monitor.app.command(rich_help_panel="The loop")(looping)
monitor.app.command("compile", rich_help_panel="The loop")(monitor_loop.compile_)
app.add_typer(monitor.app, name="monitor", help="Monitor predictions for drift.")
app.add_typer(log_app, name="log", help="Show, export and archive the prediction log.")
app.add_typer(serve_app, name="serve", help="Serve the champion; manage API keys.")
app.command()(crossval)
app.command()(tune)
app.command()(pretrain)
app.command()(predict)
app.command()(retrain)
app.command()(pipeline.demo)
app.command()(pipeline.doctor)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def main() -> None:
    """Run the command."""
    with telling_errors():
        app()


if __name__ == "__main__":
    main()
