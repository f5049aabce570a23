"""Structured logs: one JSON object for each line, on stderr.

Everything but printable ASCII is escaped: line breaks of any alphabet, terminal codes and lone surrogates, so
nothing a client sends can forge a line or lose one.
"""

import json
import logging
import sys
from datetime import UTC, datetime

from modelservice_runtime.machine.stderr import unblock_stderr

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Time, level, message, the record's extra fields, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def configure_logging() -> None:
    """Send every logger's records of level INFO and above to stderr, which from now on never blocks."""
    unblock_stderr(describe_loss)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def describe_loss(lines: int) -> str:
    """The line that stands where others are missing."""
    record = logging.LogRecord(
        __name__, logging.WARNING, __file__, 0, "log lines were lost: nobody read them in time", None, None
    )
    record.lines = lines
    return JsonFormatter().format(record) + "\n"
