"""A round of monitoring, as the registry has it: the champion is examined, and its alarm is answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thorax.errors import InputError
from thorax.monitoring.history import History, history_path
from thorax.monitoring.incidents import Incidents
from thorax.monitoring.loop.decision import Alarm
from thorax.monitoring.loop.journal import Journal, Retraining, journal_path
from thorax.monitoring.loop.lock import held
from thorax.monitoring.loop.rounds import Round, answer
from thorax.monitoring.loop.sources import sources_of, undisturbed
from thorax.monitoring.loop.steps import Say, Tools, carry_out
from thorax.registry.retraining import challenger_of, made_by, promote_once
from thorax.registry.versions import CHAMPION, resolve
from thorax.settings import Settings

Train = Callable[[Settings, str], dict[str, Any]]


@dataclass(frozen=True)
class Look:
    """What is said of the champion's latest answers, and the alarm that lasts.

    Attributes:
        status: quiet, warning, alarm or too_few.
        headline: the verdict in one sentence.
        rows: predictions that were looked at.
        page: the report; "" for none.
        version: of the champion.
        alarm: what calls for a retraining, or None.
        problems: what could not be told or kept elsewhere, in words.
    """

    status: str
    headline: str
    rows: int
    page: str
    version: str
    alarm: Alarm | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """What a round found and did."""

    look: Look
    round: Round

    @property
    def alarming(self) -> bool:
        """Whether the window alarms."""
        return self.look.status == "alarm"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = {name: getattr(self.look, name) for name in ("status", "headline", "rows", "page", "version")}
        return told | {"problems": list(self.look.problems)} | self.round.as_dict()


def watch_once(settings: Settings, train: Train, *, quick: bool = False, say: Say = lambda text: None) -> Turn:
    """Look at what was answered, and answer the alarm if there is one; go on with what was left unfinished.

    Args:
        settings: all settings.
        train: runs the training pipeline with a reason; returns what `thorax.registry.retraining.facts_of` does.
        quick: the verdict alone: no drawings, no MLflow run.
        say: called with what the loop does, in words.

    Raises:
        InputError: there is no prediction log, or the bundle has no reference.
        RegistryError: there is no champion, or the registry cannot be reached.
        BusyError: another process is at it.
        ThoraxError: a step of a retraining failed.
    """
    seen = look(settings, quick=quick)
    done = answer(settings, seen.alarm, tools_of(settings, train), lambda: challenger_of(settings), say)
    return Turn(seen, done)


def prepare(settings: Settings, say: Say) -> Round:
    """Answer the alarm that lasts up to the data revision; another process trains on it, and a third concludes.

    Raises:
        BusyError: another process is at it.
        ThoraxError: a step failed.
    """
    tools = tools_of(settings, _elsewhere)
    alarm = lasting_alarm(settings, resolve(settings, CHAMPION).version)
    return answer(settings, alarm, tools, lambda: challenger_of(settings), say, through="revise")


def conclude(settings: Settings, say: Say) -> Retraining:
    """Go on with the retraining that was trained elsewhere: find its version, and promote it where that is allowed.

    Raises:
        InputError: nothing is unfinished, or no version was made for it.
        BusyError: another process is at it.
    """
    with held(settings.var):
        journal = Journal(journal_path(settings.var))
        unfinished = journal.unfinished()
        if unfinished is None:
            raise InputError("No retraining is unfinished.", "See `thorax monitor retrainings`.")
        return carry_out(settings, journal, unfinished, tools_of(settings, _elsewhere), say)


def _elsewhere(settings: Settings, reason: str) -> dict[str, Any]:
    raise InputError(
        "The training of this retraining has not made a version yet.", f"It is to bear the reason {reason}."
    )


def tools_of(settings: Settings, train: Train) -> Tools:
    """Return what the loop needs, of this installation and its registry."""
    return Tools(
        sources=lambda: sources_of(settings),
        made=lambda mark: made_by(settings, mark),
        train=train,
        promote=lambda version, mark, reason: promote_once(settings, version, mark, reason),
        undisturbed=lambda: undisturbed(settings),
    )


def look(settings: Settings, *, quick: bool = False) -> Look:
    """Examine what the champion answered since it was last judged, tell what is new, and keep it.

    Raises:
        InputError: there is no prediction log, or the bundle has no reference.
        RegistryError: there is no champion, or the registry cannot be reached.
    """
    from thorax.monitoring.page import headline
    from thorax.registry.watching import watch_version

    watched = watch_version(settings, since="last", quick=quick)
    verdict = watched.found.verdict
    window, text = verdict.window, headline(verdict)
    alarm = lasting_alarm(settings, window.version, text)
    page = str(watched.found.page or "")
    return Look(verdict.status, text, window.rows, page, window.version, alarm, watched.problems)


def lasting_alarm(settings: Settings, version: str | None = None, text: str = "") -> Alarm | None:
    """Return the alarm that lasts: an incident that is not over, whose version's last judged window alarmed.

    Args:
        settings: where the history is.
        version: of the model; None takes that of the latest incident.
        text: the alarm in words; of its figures where it is not given.
    """
    from thorax.monitoring.page import said

    history = History(history_path(settings.var))
    incident = Incidents(history).current(version)
    if incident is None:
        return None
    windows = history.windows(incident.version)
    judged = [window for window in windows if window["status"] != "too_few"]
    if not judged or judged[-1]["status"] != "alarm":
        return None
    first = next((w for w in windows if w["id"] == incident.windows[0]), judged[-1])
    named = ", ".join(said(name) for name in incident.figures[:3])
    words = text if judged[-1] is windows[-1] and text else f"Alarm: {named}"
    return Alarm(incident.key, incident.version, first["window"]["since"], words)
