"""What the service says of itself: a JSON object a line, with the request that it was said for."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from serving.call import current

#: Both are Thorax's own; the first keeps BentoML's levels.
LOGGERS = ("bentoml.thorax", "thorax")


class JsonLines(logging.Formatter):
    """Turns a record into one line of JSON; a trace of an error stays in the log, and on its line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        call = current.get(None)
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if call is not None:
            told["request_id"] = call.request_id
        if record.exc_text:  # without the error's message: see `security.nameless`
            told["trace"] = record.exc_text
        elif record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps(told)


def structure(stream: TextIO = sys.stdout) -> None:
    """Write Thorax's own records as JSON lines from now on, and nowhere else."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
