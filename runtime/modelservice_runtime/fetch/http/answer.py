"""Turns HTTP ranges (RFC 9110, 14) into what transfers know: parts of files."""

import re
from collections.abc import AsyncIterator

import aiohttp

from modelservice_runtime.fetch.errors import TransientError
from modelservice_runtime.fetch.files.transfer import Answer, ChangedError, Wanted
from modelservice_runtime.fetch.http.client import describe_network_error

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def build_range_headers(wanted: Wanted) -> dict[str, str]:
    """Headers that ask for the bytes; a file that changed is sent from its beginning."""
    if not wanted.start_bytes and wanted.end_bytes is None:
        return {}
    last = "" if wanted.end_bytes is None else str(wanted.end_bytes - 1)
    headers = {"Range": f"bytes={wanted.start_bytes}-{last}"}
    return {**headers, "If-Range": wanted.etag} if wanted.etag else headers


def read_answer(response: aiohttp.ClientResponse) -> Answer:
    """Read an answer of status 200, 206 or 416; it is closed where that fails.

    Raises:
        ChangedError: the file has no such bytes.
        TransientError: the server does not say which bytes it sends.

    """
    try:
        start_bytes, total_bytes = _read_range(response)
    except TransientError:
        response.close()
        raise
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None
    return Answer(start_bytes, total_bytes, strong, _read_chunks(response), response.close)


def _read_range(response: aiohttp.ClientResponse) -> tuple[int, int | None]:
    if response.status == 416:
        raise ChangedError("the server has no further bytes of the file")
    if response.status != 206:
        return 0, response.content_length
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        raise TransientError("the server sent a part of the file without saying which")
    return int(match[1]), None if match[3] == "*" else int(match[3])


async def _read_chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TransientError(describe_network_error(response.url, error)) from error
