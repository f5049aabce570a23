"""Structured log lines of the fetcher: one JSON object per line on standard error."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from modelservice_runtime.fetch.redaction import Redactor

LOGGER = logging.getLogger("modelservice_runtime.fetch")


def log(message: str, fields: Mapping[str, Any] | None = None, level: int = logging.INFO) -> None:
    """Log `message` with structured `fields`."""
    LOGGER.log(level, message, extra={"fields": dict(fields or {})})


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; known secrets are removed, line breaks escaped."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON text of `record`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return self._redactor.clean(json.dumps(line, ensure_ascii=True))


def make_handler(redactor: Redactor, stream: TextIO | None = None) -> logging.Handler:
    """A handler that writes JSON lines to `stream`, default standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(redactor))
    return handler
