import json
import logging

import pytest

from modelservice_runtime.fetch.errors import TransientError
from modelservice_runtime.fetch.files.progress import LowSpeedRule, ProgressLog
from modelservice_runtime.fetch.files.transfer import find_archive
from modelservice_runtime.fetch.limits import Budget, TransferLimits
from modelservice_runtime.fetch.log import LOGGER, JsonFormatter
from modelservice_runtime.fetch.redaction import Redactor


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_log_known_size_writes_a_line_for_every_tenth(caplog):
    caplog.set_level(logging.INFO, LOGGER.name)
    clock = FakeClock()
    progress = ProgressLog("model.onnx", 5.0, clock)
    clock.now += 2
    for size in range(0, 1001, 10):
        progress.update(size, 1000)
    lines = [record.fields for record in caplog.records]
    assert [line["bytes"] for line in lines] == list(range(100, 1001, 100))
    assert lines[-1] == {"file": "model.onnx", "bytes": 1000, "totalBytes": 1000, "bytesPerSecond": 500}


def test_progress_log_unknown_size_writes_a_line_every_few_seconds(caplog):
    caplog.set_level(logging.INFO, LOGGER.name)
    clock = FakeClock()
    progress = ProgressLog("model.onnx", 5.0, clock)
    for _ in range(20):
        clock.now += 1
        progress.update(10, None)
    assert len(caplog.records) == 4


def test_low_speed_rule_slow_window_ends_the_attempt():
    clock = FakeClock()
    rule = LowSpeedRule(TransferLimits(low_speed_bytes_per_second=1024, low_speed_window_seconds=30), clock)
    for _ in range(29):
        clock.now += 1
        rule.update(1)
    clock.now += 1
    with pytest.raises(TransientError, match="slower than 1024"):
        rule.update(1)


def test_low_speed_rule_each_window_counts_for_itself():
    clock = FakeClock()
    rule = LowSpeedRule(TransferLimits(low_speed_bytes_per_second=10, low_speed_window_seconds=30), clock)
    rule.update(10**9)
    clock.now += 30
    rule.update(0)
    clock.now += 30
    with pytest.raises(TransientError):
        rule.update(1)


def test_budget_counts_all_files():
    budget = Budget(10)
    budget.take(4)
    assert budget.remaining_bytes == 6


def test_json_formatter_escapes_line_breaks_and_removes_secrets():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "line\nbreak hunter22", None, None)
    record.fields = {"bytes": 3}
    text = JsonFormatter(Redactor(["hunter22"])).format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["message"], line["bytes"], line["level"]) == ("line\nbreak [redacted]", 3, "info")


@pytest.mark.parametrize(
    "head",
    [
        b"PK\x03\x04rest",
        b"\x1f\x8b\x08",
        b"\x28\xb5\x2f\xfdx",
        b"\xfd7zXZ\x00",
        b"BZh9",
        b"a" * 257 + b"ustar\x00",
    ],
)
def test_find_archive_known_start_is_recognised(head):
    assert find_archive(head)


@pytest.mark.parametrize("head", [b"", b"\x08\x0a\x12\x07pytorch", b"\x08", b"a" * 512])
def test_find_archive_model_is_let_through(head):
    assert find_archive(head) is None
