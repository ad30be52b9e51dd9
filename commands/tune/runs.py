"""A search in MLflow: a run of its own, with a run below it for each trial. MLflow failing never ends a search."""

from typing import TYPE_CHECKING, Any

from commands.console import err

if TYPE_CHECKING:
    from thorax.settings import Settings
    from thorax.training.search import Told

_PARENT = "thorax.mlflow_run"


class Runs:
    """Follows a search in MLflow.

    Args:
        settings: where MLflow is.
        architecture: what is searched for.
        name: of the study.
        study: Optuna's, which remembers the run that it began with.
    """

    def __init__(self, settings: "Settings", architecture: str, name: str, study: Any) -> None:
        self._settings, self._architecture, self._name, self._study = settings, architecture, name, study
        self._children: dict[int, str] = {}
        self._broken = False
        self._parent = ""
        self._safely(self._open)

    def take(self, told: "Told") -> None:
        """Note what a trial tells: its settings, each epoch's figures, its end."""
        self._safely(lambda: getattr(self, f"_{told.event}")(told))

    def close(self, status: str) -> None:
        """End the search's own run, as MLflow's `FINISHED` or `KILLED`."""
        self._safely(lambda: self._connection().set_terminated(self._parent, status))

    def _connection(self) -> Any:
        from thorax.registry.tracking import client

        return client(self._settings)

    def _open(self) -> None:
        from thorax.registry.live import ARCHITECTURE
        from thorax.registry.tracking import initialise

        experiment, connection = initialise(self._settings), self._connection()
        self._parent = self._study.user_attrs.get(_PARENT, "")
        if self._parent:
            connection.update_run(self._parent, status="RUNNING")
            return
        tags = {ARCHITECTURE: self._architecture, "thorax.study": self._name}
        run = connection.create_run(experiment, tags=tags, run_name=f"tune {self._name}")
        self._parent = str(run.info.run_id)
        self._study.set_user_attr(_PARENT, self._parent)

    def _start(self, told: "Told") -> None:
        from thorax.registry.live import ARCHITECTURE, PARENT
        from thorax.registry.tracking import initialise

        connection = self._connection()
        tags = {PARENT: self._parent, ARCHITECTURE: self._architecture, "thorax.study": self._name}
        run = connection.create_run(initialise(self._settings), tags=tags, run_name=f"trial {told.number}")
        self._children[told.number] = str(run.info.run_id)
        for key, value in told.values.items():
            connection.log_param(run.info.run_id, key, value)

    def _epoch(self, told: "Told") -> None:
        from thorax.registry.live import log_curve

        if told.curve is not None:
            log_curve(self._connection(), self._children[told.number], [(int(told.curve["epoch"]), told.curve)])

    def _end(self, told: "Told") -> None:
        connection, run_id = self._connection(), self._children[told.number]
        connection.set_tag(run_id, "thorax.trial", told.state)
        if told.score is not None:
            connection.log_metric(run_id, "best_validation_auroc", told.score)
        status = {"failed": "FAILED", "interrupted": "KILLED"}.get(told.state, "FINISHED")
        connection.set_terminated(run_id, status)

    def _safely(self, work: Any) -> None:
        from thorax.errors import RegistryError
        from thorax.registry.tracking import speaking

        if self._broken:
            return
        try:
            with speaking(self._settings):
                work()
        except RegistryError as error:
            self._broken = True
            err.print(f"[yellow]MLflow does not accept the trials; the search continues without it.[/] {error}")
