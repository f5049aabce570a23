"""What the API server answers, from bytes: objects, pages of lists, lines of watches, refusals.

Only what the client has to know is typed; objects stay dicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from modelservice_operator.facts import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

Object = dict[str, Any]
_Answer = TypeVar("_Answer")


class ListMeta(msgspec.Struct, rename="camel"):
    """The part of a list's metadata that paging needs."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    """One page of a list. An empty metadata-only list has `"items": null`."""

    metadata: ListMeta
    items: list[Object] | None = None


class WatchEvent(msgspec.Struct):
    """One line of a watch. `object` is a `metav1.Status` where `type` is ERROR."""

    type: str
    object: Object


_OBJECTS = msgspec.json.Decoder(Object)
_PAGES = msgspec.json.Decoder(Page)
_EVENTS = msgspec.json.Decoder(WatchEvent)


def parse_object(raw: bytes) -> Object:
    """Return the object in an answer; TransportError where there is none."""
    return _decode(_OBJECTS, raw)


def parse_page(raw: bytes) -> Page:
    """Return the page of a list in an answer; TransportError where there is none."""
    return _decode(_PAGES, raw)


def parse_event(line: bytes) -> WatchEvent:
    """Return the event in a line of a watch; the ApiError that it tells of is raised."""
    event = _decode(_EVENTS, line)
    if event.type == "ERROR":
        raise errors.api_error(int(event.object.get("code") or 500), event.object)
    return event


def parse_refusal(response: aiohttp.ClientResponse, raw: bytes) -> errors.ApiError:
    """Return the error of a refused request; proxies and panics answer without a `metav1.Status`."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = {"message": f"HTTP {response.status}: {raw[:200].decode(errors='replace')}"}
    body = body if isinstance(body, dict) else {}
    return errors.api_error(response.status, body, response.headers.get("Retry-After"))


async def lines_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines of any length; what follows the last line break was cut and is dropped."""
    tail = b""
    async for chunk in content.iter_any():
        *lines, tail = (tail + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


async def read_body(content: aiohttp.StreamReader, limit_bytes: int) -> bytes:
    """A body of at most so many bytes; ValueError for a longer one."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > limit_bytes:
            raise ValueError(f"the answer is longer than {limit_bytes} bytes")
    return bytes(raw)


def _decode(decoder: msgspec.json.Decoder[_Answer], raw: bytes) -> _Answer:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.TransportError(f"unreadable answer of the API server: {error}") from error
