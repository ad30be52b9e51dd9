"""The pointer: a small file, replaced whole, that tells every worker which bundle to serve."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from thorax.errors import BundleError, InputError
from thorax.files import read_json, write_text


class Pointer(BaseModel):
    """Which bundle to serve, and what a person should know about how it was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path | None
    version: str | None = None
    alias: str | None = None
    #: Why there is no bundle, or why it may not be the newest; empty where all is well.
    note: str = ""
    #: The challenger, where it is wanted and there is one; it never keeps the champion from being served.
    challenger: Path | None = None
    challenger_version: str | None = None


def write_pointer(path: Path, pointer: Pointer) -> None:
    """Replace the pointer; a reader sees the old one or the new one, never a part."""
    write_text(path, pointer.model_dump_json(indent=2))


def read_pointer(path: Path) -> Pointer | None:
    """Read the pointer; None where there is none yet.

    Raises:
        BundleError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        return Pointer.model_validate(read_json(path))
    except (ValidationError, InputError) as error:
        raise BundleError(
            f"{path} is damaged: {error}", "Stop the service, delete the file, and start again."
        ) from error
