"""Standard error whose reader is slow, has stopped, or has gone."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from modelservice_runtime.machine.logs import describe_loss
from modelservice_runtime.machine.stderr import PatientStream

LINES = 40_000  # of 100 bytes: more than a pipe and the queue behind it hold


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int, bool]]:
    """Where to read, where to write, and whether writing there waits.

    The end to write to stays open: a stream's thread goes on, and would write into whatever has its number.
    """
    if request.param == "pipe":
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        yield reader, writer, False
        os.close(reader)
    else:
        left, right = socket.socketpair()
        with left:
            yield left.fileno(), right.detach(), True


def line(number: int) -> str:
    return f"{number:099d}\n"


def read_lines(reader: int, until: str) -> list[str]:
    data = b""
    while until not in data[-400:].decode():
        data += os.read(reader, 65536)
    return data.decode().splitlines()


def read_numbers(reader: int, data: bytes, written: int) -> tuple[int, list[int]]:
    """Read until every written line came or was said to be lost, in order: those that came, and each loss."""
    came, losses = 0, list[int]()
    while came + sum(losses) < written:
        texts = data.decode().split("\n")
        data = texts.pop().encode()
        for text in texts:
            if text.startswith("{"):
                loss = json.loads(text)
                assert loss["level"] == "warning"
                losses.append(loss["lines"])
            else:
                assert int(text) == came + sum(losses)
                came += 1
        if came + sum(losses) < written:
            data += os.read(reader, 65536)
    return came, losses


def test_write_without_a_reader_returns_and_says_later_how_many_lines_were_lost(
    ends: tuple[int, int, bool],
) -> None:
    reader, writer, may_block = ends
    stream = PatientStream(writer, describe_loss, may_block=may_block)
    for number in range(LINES):
        stream.write(line(number))  # would wait here for ever
    came, losses = read_numbers(reader, b"", LINES)
    assert came > 0
    assert losses
    stream.write("afterwards\n")
    assert read_lines(reader, "afterwards") == ["afterwards"]


def test_write_to_a_reader_that_is_always_too_slow_says_in_place_how_many_lines_were_lost(
    ends: tuple[int, int, bool],
) -> None:
    reader, writer, may_block = ends
    stream = PatientStream(writer, describe_loss, may_block=may_block)
    read, written = b"", 0
    while written < 2 * LINES:  # the queue is full, or nearly, from the middle on, and never empty
        for _ in range(1_000):
            stream.write(line(written))
            written += 1
        read += os.read(reader, 50_000)
    assert len(read_numbers(reader, read, written)[1]) > 1


def test_write_with_a_reader_keeps_every_line_and_their_order(ends: tuple[int, int, bool]) -> None:
    reader, writer, may_block = ends
    stream = PatientStream(writer, describe_loss, may_block=may_block)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(read_lines(reader, "end")))
    thread.start()
    for number in range(5_000):
        stream.write(line(number))
    stream.write("end\n")
    stream.drain(120)
    thread.join(120)
    assert found == [line(number)[:-1] for number in range(5_000)] + ["end"]


def test_write_of_more_than_a_pipe_holds_arrives_whole(ends: tuple[int, int, bool]) -> None:
    reader, writer, may_block = ends
    stream = PatientStream(writer, describe_loss, may_block=may_block)
    stream.write("a" * 200_000 + "\n")
    stream.write("b\n")
    assert read_lines(reader, "b") == ["a" * 200_000, "b"]


def test_drain_without_a_reader_ends(ends: tuple[int, int, bool]) -> None:
    _, writer, may_block = ends
    stream = PatientStream(writer, describe_loss, may_block=may_block)
    for number in range(LINES):
        stream.write(line(number))
    stream.drain(0.05)


def test_write_to_a_reader_that_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stream = PatientStream(writer, describe_loss, may_block=False)
    os.close(reader)
    for number in range(LINES):
        stream.write(line(number))
    stream.drain(120)
    os.close(writer)


def test_write_escapes_what_utf_8_cannot_hold() -> None:
    reader, writer = os.pipe()
    PatientStream(writer, describe_loss, may_block=True).write("a\ud800ü\n")
    assert read_lines(reader, "\n") == ["a\\ud800ü"]
    os.close(reader)
    os.close(writer)


PROGRAM = """
import os, sys
from modelservice_runtime.machine.logs import configure_logging
configure_logging()
import logging
for number in range(4_000):
    logging.info("%d " + "x" * 1000, number)   # Python's lines
try:
    os.write(2, b"z" * 100_000)                # a library's, past Python
except BlockingIOError:
    pass
print("through", flush=True)
"""


def test_a_process_whose_log_nobody_reads_runs_to_its_end() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=writer, stdout=subprocess.PIPE) as process:
        os.close(writer)
        assert process.stdout is not None
        assert process.stdout.read() == b"through\n"
        assert process.wait(120) == 0
    os.close(reader)


HAS_A_CHILD = """
import asyncio, logging, sys
import uvloop
from modelservice_runtime.machine.logs import configure_logging
configure_logging()
async def run_child():
    await (await asyncio.create_subprocess_exec(sys.executable, "-c", "")).wait()
uvloop.run(run_child())  # libuv makes the standard error of its children wait, which is the parent's too
for number in range(4_000):
    logging.info("%d " + "x" * 1000, number)
print("through", flush=True)
"""


def test_a_process_with_children_whose_log_nobody_reads_runs_to_its_end() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", HAS_A_CHILD], stderr=writer, stdout=subprocess.PIPE
    ) as process:
        os.close(writer)
        try:
            assert process.communicate(timeout=120)[0] == b"through\n"
        finally:
            process.kill()
    os.close(reader)


def test_the_flag_of_a_pipe_that_others_share_is_left_alone() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=writer, stdout=subprocess.PIPE) as process:
        process.communicate(timeout=120)
    assert os.get_blocking(writer)
    os.close(reader)
    os.close(writer)
