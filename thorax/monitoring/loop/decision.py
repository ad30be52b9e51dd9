"""Whether an alarm is answered with a retraining now: one place, one order of reasons, no side effects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from thorax.monitoring.loop.journal import Retraining
from thorax.settings import Retrain

Action = Literal["nothing", "hold", "resume", "retrain"]
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Alarm:
    """What calls for a retraining.

    Attributes:
        incident: the incident's key.
        version: of the model that is watched.
        since: the first moment of the window that opened the incident, ISO 8601 in UTC.
        text: what alarms, in words.
    """

    incident: str
    version: str
    since: str
    text: str


@dataclass(frozen=True)
class Decision:
    """What to do, and why.

    `nothing`: there is no alarm. `hold`: there is one, and it is not answered now. `resume`: go on with what was begun.
    `retrain`: begin.
    """

    action: Action
    why: str
    retraining: Retraining | None = None


def decide(
    settings: Retrain,
    alarm: Alarm | None,
    past: Sequence[Retraining],
    new_cases: Callable[[], int],
    challenger: str,
    now: datetime,
) -> Decision:
    """Decide.

    Args:
        settings: `monitor.retrain`.
        alarm: the alarm that lasts, or None.
        past: every retraining, the oldest first.
        new_cases: counts the confirmed cases that the dataset does not hold yet; called only where it matters.
        challenger: the version that stands as challenger; "" for none.
        now: aware of its zone.
    """
    unfinished = next((item for item in reversed(past) if not item.closed), None)
    if unfinished is not None:
        stopped = unfinished.exhausted(settings.attempts)
        if not stopped:
            return Decision("resume", f"retraining {unfinished.id} is not finished: {unfinished.next_step}", unfinished)
        if alarm is None:
            return Decision("nothing", f"retraining {unfinished.id} stopped: {stopped}")
        return Decision("hold", f"retraining {unfinished.id} stopped: {stopped}. `thorax retrain` tries it again")
    if alarm is None:
        return Decision("nothing", "there is no alarm")
    if not settings.auto:
        return Decision("hold", "monitor.retrain.auto is off: `thorax retrain` retrains")
    waiting = [item for item in past if item.incident == alarm.incident and _version(item) == challenger != ""]
    if waiting and waiting[-1].done["train"].get("passed"):
        return Decision("hold", f"version {challenger}, the answer to this alarm, waits to be promoted")
    if past and (rest := _cooling(past[-1], settings, now)) is not None:
        return Decision(
            "hold", f"the last retraining began {past[-1].opened[:16]}, and the cool-down lasts {rest} more"
        )
    recent = [item for item in past if now - datetime.fromisoformat(item.opened) < _WEEK]
    if len(recent) >= settings.max_per_week:
        return Decision("hold", f"the budget is spent: {len(recent)} retrainings in 7 days, of {settings.max_per_week}")
    found = new_cases()
    if found < settings.min_new_cases:
        return Decision(
            "hold", f"{found} new confirmed cases, of at least {settings.min_new_cases}: too few to learn from"
        )
    return Decision("retrain", f"{alarm.text}; {found} new confirmed cases")


def _version(item: Retraining) -> str:
    return str(item.done.get("train", {}).get("version", ""))


def _cooling(last: Retraining, settings: Retrain, now: datetime) -> str | None:
    """Return how much of the cool-down is left, in words; None where it is over."""
    left = timedelta(hours=settings.cooldown_hours) - (now - datetime.fromisoformat(last.opened))
    if left <= timedelta(0):
        return None
    hours, minutes = divmod(int(left.total_seconds() // 60), 60)
    return f"{hours} h {minutes:02d} min"
