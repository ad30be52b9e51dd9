"""Moments as a person writes them."""

from datetime import UTC, datetime, timedelta

from thorax.errors import InputError

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def read_moment(text: str) -> datetime:
    """Read a moment: ISO 8601 (UTC where it has no zone), or `7d`, `12h`, `30m` before now.

    Raises:
        InputError: it is neither.
    """
    if text[:-1].isdigit() and text[-1:] in _UNITS:
        return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no moment.", "Write 2026-11-22, 2026-11-22T08:00, or 7d before now.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
