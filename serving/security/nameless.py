"""Keep what callers sent out of the service's own log.

The message of an error may repeat a field, a file's name or a tag of a DICOM file. Where it is logged with its trace,
the places in the code and the error's kind stay, and the message goes.
"""

import logging
import traceback
from typing import Any

#: BentoML logs every form that it could not read, with what stood in it; the access log has these requests already.
_FORMS = "bentoml._internal.server.http_app"
_KIND = "thorax_kind"
_CALLERS = frozenset(
    {"ValidationError", "InvalidArgument", "BentoMLException", "JSONDecodeError", "UnicodeDecodeError"}
)


class _Factory:
    """Makes log records without the messages of errors."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            setattr(record, _KIND, kind.__name__)
            record.exc_text = "".join(traceback.format_tb(trace)) + kind.__name__
            record.exc_info = None
        return record


def _from_a_caller(record: logging.LogRecord) -> bool:
    return getattr(record, _KIND, "") not in _CALLERS


def _serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.CRITICAL


def install() -> None:
    """Let every log record of this process be made so; a second call changes nothing."""
    before = logging.getLogRecordFactory()
    if isinstance(before, _Factory):
        return
    logging.setLogRecordFactory(_Factory(before))
    logging.getLogger(_FORMS).addFilter(_from_a_caller)
    logging.getLogger("pydicom").addFilter(_serious)  # it warns of values that bend the standard, and repeats them
