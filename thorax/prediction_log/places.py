"""Where a log is, and how to reach the rows there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from thorax.errors import ThoraxError
from thorax.prediction_log.record import FAILURES, FEEDBACK, SHADOW

if TYPE_CHECKING:
    from thorax.settings import Settings

Place = Path | str
#: Tables beside `predictions`, whose columns grow with the models.
TABLES = {"feedback": FEEDBACK, "shadow": SHADOW, "failures": FAILURES}


class LogError(ThoraxError):
    """The prediction log cannot be reached; nothing may be answered that it does not hold."""

    exit_code = 5


Rows = tuple[list[str], list[tuple[Any, ...]]]


class Moving(Protocol):
    """Old predictions, what was said of them, and what shadows made of them."""

    def parts(self, table: str, size: int) -> Iterator[Rows]:
        """Yield column names and rows of a table, `size` at a time."""

    def delete(self) -> int:
        """Delete those very rows, while others write; return how many predictions went."""


class Store(Protocol):
    """The rows of one log in a database; every method may be called from several threads at once."""

    #: What the `predictions` table has, as far as this process knows.
    columns: set[str]

    def grow(self, columns: Mapping[str, str]) -> None:
        """Make the tables, and add the columns that are missing."""

    def insert(self, row: Mapping[str, Any]) -> None:
        """Keep one prediction; it is on the disk when this returns."""

    def insert_many(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows of a table beside it, all or none."""

    def latest_feedback(self, request_id: str) -> dict[tuple[str, str], bool] | None:
        """Return what each role last said of each finding, `{(role, finding): present}`; None: no such prediction."""

    def fetch(self, table: str, since: str | None, until: str | None) -> Rows:
        """Return column names and rows in the order of their time."""

    def moving(self, before: str) -> "AbstractContextManager[Moving]":
        """Choose what is older than a moment, as it stands now: what is written from now on is not among it."""

    def count(self, before: str | None = None) -> int:
        """Return the number of predictions."""

    def close(self) -> None:
        """Give the connections back."""


def log_path(var: Path) -> Path:
    """Return where an installation keeps its log as a file, given `settings.var`."""
    return var / "serving" / "predictions.db"


def place_of(settings: "Settings") -> Place:
    """Return where an installation keeps its log."""
    return settings.serve.log_url or log_path(settings.var)


def is_address(place: Place) -> bool:
    """Whether a place is PostgreSQL's address, and not a file."""
    return isinstance(place, str) and place.startswith(("postgresql://", "postgres://"))


def shown(place: Place) -> str:
    """Return a place as it may be printed: without a password."""
    if not is_address(place):
        return str(place)
    head, _, tail = str(place).rpartition("@")
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.partition(':')[0]}@{tail}" if head else str(place)


def open_store(place: Place, *, read_only: bool = False) -> Store:
    """Open a log.

    Raises:
        InputError: `read_only`, and there is none, or the file is not one.
        LogError: PostgreSQL does not answer.
    """
    if is_address(place):
        from thorax.prediction_log.postgres import PostgresStore

        return PostgresStore(str(place))
    from thorax.prediction_log.sqlite import SqliteStore

    return SqliteStore(Path(place), read_only=read_only)


def listed(columns: Sequence[str]) -> str:
    """Return quoted names; they are findings' names, checked by `quoted`."""
    return ", ".join(quoted(name) for name in columns)


def quoted(name: str) -> str:
    """Return a column's name in quotes.

    Raises:
        ValueError: it holds what no name of a finding does.
    """
    if not name.replace("_", "").isalnum() or len(name) > 63:
        raise ValueError(f"{name!r} cannot be a column")
    return f'"{name}"'
