"""A round of the loop: decide, and carry out what was decided; the same for an alarm and for a person."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from thorax.errors import InputError
from thorax.monitoring.loop.decision import Alarm, Decision, decide
from thorax.monitoring.loop.gather import gather
from thorax.monitoring.loop.journal import STEPS, Journal, Retraining, journal_path
from thorax.monitoring.loop.lock import held
from thorax.monitoring.loop.steps import Say, Tools, carry_out
from thorax.settings import Settings


@dataclass(frozen=True)
class Round:
    """What a round did: the decision, and the retraining that it began or went on with."""

    decision: Decision
    retraining: Retraining | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = {"action": self.decision.action, "why": self.decision.why}
        return told | {"retraining": None if self.retraining is None else self.retraining.as_dict()}


def answer(
    settings: Settings,
    alarm: Alarm | None,
    tools: Tools,
    challenger: Callable[[], str],
    say: Say = lambda text: None,
    now: datetime | None = None,
    through: str = STEPS[-1],
) -> Round:
    """Answer an alarm, or the lack of one.

    Args:
        settings: all settings.
        alarm: what lasts, or None.
        tools: what the loop needs of others.
        challenger: names the version that stands as challenger; "" for none.
        say: called with what is done, in words.
        now: the present; for tests.
        through: the last step of a retraining that is done here; another process does the others.

    Raises:
        BusyError: another process is at it.
        ThoraxError: a step of the retraining failed; the next round goes on, as often as `monitor.retrain.attempts`.
    """
    with held(settings.var):
        journal = Journal(journal_path(settings.var))
        moment = now or datetime.now(UTC)
        made = decide(
            settings.monitor.retrain,
            alarm,
            journal.retrainings(),
            lambda: _count(tools),
            challenger() if alarm is not None else "",
            moment,
        )
        if made.action == "resume":
            assert made.retraining is not None
            return Round(made, carry_out(settings, journal, made.retraining, tools, say, through))
        if made.action == "retrain":
            assert alarm is not None
            opened = begin(journal, alarm.text, "alarm", moment, incident=alarm.incident, since=alarm.since)
            return Round(made, carry_out(settings, journal, opened, tools, say, through))
        return Round(made)


def by_hand(
    settings: Settings, reason: str, tools: Tools, alarm: Alarm | None = None, say: Say = lambda t: None
) -> Round:
    """Do what an alarm does, because a person says so: neither budget nor cool-down nor the number of cases holds it.

    A retraining that stopped is tried again rather than begun anew.

    Raises:
        InputError: there is no reason.
        BusyError: another process is at it.
        ThoraxError: a step failed.
    """
    if not reason.strip():
        raise InputError("A retraining needs a reason.", 'Say why, such as --reason "drift in brightness".')
    with held(settings.var):
        journal = Journal(journal_path(settings.var))
        unfinished = journal.unfinished()
        if unfinished is not None:
            made = Decision("resume", f"retraining {unfinished.id} is not finished: {unfinished.next_step}", unfinished)
            return Round(made, carry_out(settings, journal, unfinished, tools, say))
        about = {} if alarm is None else {"incident": alarm.incident, "since": alarm.since}
        opened = begin(journal, reason.strip(), "hand", datetime.now(UTC), **about)
        return Round(Decision("retrain", reason.strip()), carry_out(settings, journal, opened, tools, say))


def give_up(settings: Settings, reason: str) -> Retraining:
    """End the unfinished retraining where it stands; what it did to the data and the registry stays.

    Raises:
        InputError: none is unfinished, or there is no reason.
        BusyError: another process is at it.
    """
    if not reason.strip():
        raise InputError("Giving up needs a reason, which is recorded.", "Add --reason.")
    with held(settings.var):
        journal = Journal(journal_path(settings.var))
        unfinished = journal.unfinished()
        if unfinished is None:
            raise InputError("No retraining is unfinished.", "See `thorax monitor retrainings`.")
        unfinished.outcome = f"given up: {reason.strip()}"
        journal.append(unfinished.id, "end", outcome=unfinished.outcome)
        return unfinished


def begin(journal: Journal, reason: str, origin: str, now: datetime, incident: str = "", since: str = "") -> Retraining:
    """Open a retraining: the first line about it."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    short = hashlib.sha256(f"{now.isoformat()}{reason}{incident}".encode()).hexdigest()[:4]
    name = f"{stamp}-{short}"
    entry = journal.append(name, "open", reason=reason, origin=origin, incident=incident, since=since)
    return Retraining(name, entry.time, reason, origin, incident, since)


def _count(tools: Tools) -> int:
    sources = tools.sources()
    return 0 if sources is None else len(gather(sources).cases)
