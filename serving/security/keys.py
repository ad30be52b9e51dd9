"""API keys: shown once when they are made, kept as digests, with scopes, an end, and a rate of their own.

A key holds 256 random bits, so one SHA-256 of it cannot be searched, and a slow hash would only make every request
slow. (Slow hashes are for what people choose: NIST SP 800-63B, 5.1.1.2 and 5.1.2.2.)
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from thorax.errors import InputError, nearest
from thorax.files import atomic_path, read_json
from thorax.prediction import now

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PREFIX = "thorax"
_log = logging.getLogger("bentoml.thorax")
_NOBODY = "0" * 64
_MAX_NAME = 60


class Key(BaseModel):
    """One key, without what would open anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    #: Requests of this key, such as `60/minute`; that of the settings where it has none.
    rate: str | None = None

    @property
    def state(self) -> Literal["valid", "expired", "revoked"]:
        """Whether it opens anything now."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now() else "valid"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []


class Keys:
    """The keys of an installation, in a file that its owner alone may read.

    A running service sees every change at its next request: it compares the file's stamp each time.

    Args:
        path: of the file; made with the first key.
        inner: the digest of a key that is in no file: that of the page which was started beside the service.
    """

    def __init__(self, path: Path, inner: str = "") -> None:
        self.path = path
        self._inner = inner
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, Key] = {}

    def create(
        self, name: str, scopes: Sequence[str], *, days: int | None = None, rate: str | None = None
    ) -> tuple[Key, str]:
        """Make a key; return it and its token, which nothing can show again.

        Args:
            name: for people, of what will use it; unique among valid keys.
            scopes: some of `predict`, `feedback`, `admin`.
            days: until it expires; None: never.
            rate: of its own, such as `60/minute`.

        Raises:
            InputError: a wrong scope or rate, an empty or long name, or one that a valid key has.
        """
        from thorax.settings import Serve

        if not name.strip() or len(name) > _MAX_NAME or not name.isprintable():
            raise InputError(
                f"A key needs a name of 1 to {_MAX_NAME} characters.", "Name what will use it: --name ris."
            )
        for scope in scopes:
            if scope not in SCOPES:
                raise InputError(f"There is no scope {scope!r}.", nearest(scope, SCOPES))
        if not scopes:
            raise InputError("A key needs a scope.", f"Known: {', '.join(SCOPES)}.")
        if days is not None and days < 1:
            raise InputError("A key must last a day at least.")
        try:
            Serve(rate_limit=rate)
        except ValidationError as error:
            raise InputError(f"The rate {rate!r} is not a number a time.", "Write it as 60/minute.") from error
        made, identity = now(), secrets.token_hex(4)
        token = new_token(identity)
        key = Key(
            id=identity,
            name=name.strip(),
            scopes=tuple(dict.fromkeys(scopes)),  # type: ignore[arg-type]
            digest=digest_of(token),
            created=made,
            expires=made + timedelta(days=days) if days else None,
            rate=rate,
        )
        with self._locked():
            keys = self.list()
            if any(other.name == key.name and other.state == "valid" for other in keys):
                raise InputError(f"There is a valid key of the name {name!r}.", "Revoke it first, or choose another.")
            self._write([*keys, key])
        return key, token

    def revoke(self, which: str) -> Key:
        """End a key, by its id or by the name of a valid one; return it as it is now.

        Raises:
            InputError: there is no such key, or it was revoked already.
        """
        with self._locked():
            keys = self.list()
            found = [key for key in keys if key.id == which or (key.name == which and key.state != "revoked")]
            if not found:
                raise InputError(f"There is no key {which!r}.", "`thorax serve keys list` shows them.")
            if found[0].revoked is not None:
                raise InputError(f"The key {found[0].id} was revoked on {found[0].revoked:%Y-%m-%d}.")
            ended = found[0].model_copy(update={"revoked": now()})
            self._write([ended if key.id == ended.id else key for key in keys])
        return ended

    def list(self) -> list[Key]:
        """Return every key that was ever made, in that order.

        Raises:
            InputError: the file is damaged.
        """
        if not self.path.is_file():
            return []
        try:
            return _File.model_validate(read_json(self.path)).keys
        except ValidationError as error:
            raise InputError(
                f"{self.path} is damaged: {error}", "Put a copy of it back; until then nobody gets in."
            ) from error

    def find(self, token: str) -> Key | None:
        """Return the key that a token is of, whatever its state; None where it is of none. Takes constant time."""
        seal = digest_of(token)
        if self._inner and hmac.compare_digest(seal, self._inner):
            return Key(id="page", name="page", scopes=("predict", "feedback"), digest=seal, created=now())
        self._refresh()
        parts = token.split("_", 2)
        key = self._known.get(parts[1]) if len(parts) == 3 else None
        same = hmac.compare_digest(seal, key.digest if key else _NOBODY)
        return key if same else None

    def _refresh(self) -> None:
        try:
            about = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._known = None, {}
            return
        stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
        if stamp != self._stamp:
            self._stamp, self._known = stamp, {}  # a damaged file opens nothing
            try:
                self._known = {key.id: key for key in self.list()}
            except InputError as error:
                _log.error("No API key opens anything: %s", error)

    def _locked(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=10)

    def _write(self, keys: Sequence[Key]) -> None:
        with atomic_path(self.path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(_File(keys=list(keys)).model_dump_json(indent=2) + "\n", encoding="utf-8")


def new_token(identity: str) -> str:
    """Return a token of 256 random bits."""
    return f"{_PREFIX}_{identity}_{secrets.token_urlsafe(32)}"


def digest_of(token: str) -> str:
    """Return what is kept of a token: its SHA-256 (hex)."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
