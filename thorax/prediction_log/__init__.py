"""The prediction log: every answer, durable before it leaves, without anything that names a person.

A place is a SQLite file, or PostgreSQL's address; both take and give the same. Old rows move to Parquet files, which
`read_log` reads along.
"""

from thorax.prediction_log.archive import archive_of
from thorax.prediction_log.places import Place, log_path, place_of
from thorax.prediction_log.reading import count, read_failures, read_feedback, read_log, read_shadow
from thorax.prediction_log.record import (
    COMPARED,
    EMBEDDING,
    IDENTITY,
    OF_FINDING,
    STATISTICS,
    columns_of,
    flatten,
    one_answer,
)
from thorax.prediction_log.rotation import prune
from thorax.prediction_log.writing import PredictionLog

__all__ = [
    "COMPARED",
    "EMBEDDING",
    "IDENTITY",
    "OF_FINDING",
    "STATISTICS",
    "Place",
    "PredictionLog",
    "archive_of",
    "columns_of",
    "count",
    "flatten",
    "log_path",
    "one_answer",
    "place_of",
    "prune",
    "read_failures",
    "read_feedback",
    "read_log",
    "read_shadow",
]
