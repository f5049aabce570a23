"""Log lines are JSON, one line each, whatever is in them."""

import json
import logging
import sys

from modelservice_operator.process.logs import JsonFormatter


def make_record(message: str, **extra: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "test"})
    vars(record).update(extra)
    return record


def test_format_with_line_breaks_stays_one_line_and_keeps_extra_fields():
    line = JsonFormatter().format(make_record('a\n{"level": "forged"}', namespace="mail"))
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["level"], parsed["namespace"]) == ("INFO", "mail")
    assert parsed["message"].startswith("a\n")


def test_format_with_exception_adds_the_traceback():
    try:
        raise ValueError("broken")
    except ValueError:
        record = make_record("it broke", exc_info=sys.exc_info())
    assert "ValueError: broken" in json.loads(JsonFormatter().format(record))["traceback"]
