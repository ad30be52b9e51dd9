"""Write the log: what the service does before each answer."""

import logging
import time as clock
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from thorax.errors import InputError
from thorax.prediction import Prediction
from thorax.prediction_log.places import Place, is_address, open_store
from thorax.prediction_log.record import (
    IDENTITY,
    columns_of,
    digest,
    read_salt,
    row_of,
    shadow_rows,
    stamp,
)

#: Seconds by which the wall clock may leave the machine's steady one between two answers.
_JUMP = 5.0
_log = logging.getLogger("bentoml.thorax")


class PredictionLog:
    """A writer of the log; one a process, used from any thread.

    Args:
        place: a SQLite file, made where it is missing, or PostgreSQL's address.
        findings: to make columns for; those of later models are added when they first answer.
        salt: the file of the salt for digests; beside a SQLite file where it is not given. Services that share a
            database must share it, or the same image has a digest a machine.

    Raises:
        InputError: a file that is no log, or an address without `salt`.
        LogError: PostgreSQL does not answer.
        RoomError: the disk is full.
    """

    def __init__(self, place: Place, findings: Sequence[str] = (), salt: Path | None = None) -> None:
        if salt is None:
            if is_address(place):
                raise InputError("A log in PostgreSQL needs a file for its salt.")
            salt = Path(place).with_name("salt")
        self._salt = read_salt(salt)
        self._store = open_store(place)
        self._store.grow(IDENTITY | columns_of(findings))
        self._clocks = (clock.time(), clock.monotonic())

    def digest(self, data: bytes) -> str:
        """Return the salted SHA-256 (HMAC, hex) of an image file's bytes."""
        return digest(self._salt, data)

    def write(self, prediction: Prediction, image_digest: str) -> None:
        """Keep one answer; it is on the disk when this returns.

        Raises:
            RoomError: the disk is full; the answer must not leave.
            LogError: PostgreSQL does not answer; the answer must not leave.
        """
        self._watch_the_clock()
        row = row_of(prediction, image_digest)
        if not row.keys() <= self._store.columns:  # a model with findings that the log has not seen
            self._store.grow(IDENTITY | columns_of([answer.finding for answer in prediction.findings]))
        self._store.insert(row)

    def write_feedback(self, request_id: str, findings: Mapping[str, bool], role: str, time: datetime) -> int:
        """Keep what a reader says of an earlier answer.

        What the same role last said is not kept again, so a request that was sent twice counts once; a change of mind
        is a row more, and the later one counts.

        Returns:
            How many findings were kept.

        Raises:
            InputError: there is no such answer.
            RoomError: the disk is full.
            LogError: PostgreSQL does not answer.
        """
        said = self._store.latest_feedback(request_id)
        if said is None:
            raise InputError(f"There is no prediction {request_id!r} in the log.", "Use the request_id of an answer.")
        fresh = {name: present for name, present in findings.items() if said.get((role, name)) != present}
        rows = [
            {"request_id": request_id, "time": stamp(time), "role": role, "finding": name, "present": int(present)}
            for name, present in fresh.items()
        ]
        self._store.insert_many("feedback", rows)
        return len(rows)

    def write_shadow(self, answered: Prediction, shadow: Prediction) -> None:
        """Keep what another version made of an image, beside the answer that left."""
        self._store.insert_many("shadow", shadow_rows(answered, shadow))

    def write_failure(self, request_id: str, status: int, time: datetime) -> None:
        """Keep that a request was refused or failed; monitoring watches their share."""
        self._store.insert_many("failures", [{"request_id": request_id, "time": stamp(time), "status": status}])

    def close(self) -> None:
        """Give the database back."""
        self._store.close()

    def _watch_the_clock(self) -> None:
        """Say when the wall clock jumped: times of rows are then out of order, and their sequence is what holds."""
        wall, steady = clock.time(), clock.monotonic()
        jump = (wall - self._clocks[0]) - (steady - self._clocks[1])
        self._clocks = (wall, steady)
        if abs(jump) > _JUMP:
            _log.warning("The clock jumped by %+.1f s; the log's sequence keeps the order of predictions.", jump)
