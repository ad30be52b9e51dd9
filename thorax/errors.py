"""Errors that a person reads: what is wrong, in which file, row or key, and what to do about it."""

import difflib
from collections.abc import Iterable


class ThoraxError(Exception):
    """Base of every error that Thorax raises on purpose.

    Args:
        message: what is wrong; names the file, row, key or value.
        mend: what the person can do about it, as one sentence; may be empty.

    The command line prints both without a traceback and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()

    def __reduce__(self) -> tuple[type["ThoraxError"], tuple[str, str]]:
        """Survive the trip between processes with the mend intact."""
        return type(self), (self.message, self.mend)


class SettingsError(ThoraxError):
    """A wrong key or value in `params.yaml` or in an override."""

    exit_code = 2


class InputError(ThoraxError):
    """A file, table, argument or image that cannot be used as it is."""

    exit_code = 2


class ImageError(InputError):
    """An image that cannot be read, or must not be."""


class DataGateError(ThoraxError):
    """Validation found something critical; the pipeline stops here."""

    exit_code = 3


class GateError(ThoraxError):
    """A model that did not pass what was agreed."""

    exit_code = 4


class RegistryError(ThoraxError):
    """The model registry cannot be reached, or does not hold what was asked for."""

    exit_code = 5


class BundleError(ThoraxError):
    """A model bundle that is incomplete, changed, or does not prove itself."""

    exit_code = 6


class RoomError(ThoraxError):
    """The disk is full, or will be."""

    exit_code = 7


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest right word, or lists the known ones.

    >>> nearest("Efusion", ["Effusion", "Edema"])
    'Did you mean Effusion?'
    """
    words = sorted(known)
    folded = {word.lower(): word for word in words}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {folded[close[0]]}?"
    return f"Known: {', '.join(words)}."
