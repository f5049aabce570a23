"""Header compression (RFC 7541): a strict decoder with bounded work; an encoder for constants; pure.

The decoder follows the client's dynamic table. Our own answers use none: their few headers are literals.
"""

from typing import TypeAlias

from modelservice_runtime.transport.http2.headers.huffman import decode_huffman

Header: TypeAlias = tuple[bytes, bytes]

DEFAULT_TABLE_BYTES = 4096
# What an entry counts beside its name and value (RFC 7541, 4.1).
ENTRY_OVERHEAD_BYTES = 32
# "Dynamic table size update" to 0: what an encoder says first when it was allowed less than the default.
EMPTY_TABLE = b"\x20"
_MAX_INTEGER = 1 << 24

_STATIC_TABLE: tuple[Header, ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
)
_STATIC_COUNT = len(_STATIC_TABLE)
_STATIC_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC_TABLE, start=1)))}


class HpackError(Exception):
    """The header block breaks RFC 7541; the connection cannot go on."""


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order of their arrival.

    `generation` changes whenever the dynamic table does: until then equal blocks have equal meanings.
    """

    def __init__(self, max_list_bytes: int, max_table_bytes: int = DEFAULT_TABLE_BYTES) -> None:
        self.generation = 0
        self._max_list_bytes = max_list_bytes
        self._allowed_table_bytes = max_table_bytes
        self._max_table_bytes = max_table_bytes
        self._table: list[Header] = []  # the oldest entry first
        self._table_bytes = 0

    def decode(self, block: bytes) -> list[Header] | None:
        """The block's headers, or None when they exceed the limit; the table is right in both cases.

        Raises HpackError. Beyond the limit headers are followed without being kept, so a block of indices
        into a large entry costs no memory.
        """
        headers: list[Header] = []
        end = len(block)
        list_bytes = position = 0
        try:
            if block and block[0] & 0xE0 == 0x20:
                position = self._resize(block)
            while position < end:
                first = block[position]
                if 0x80 < first < 0xFF:  # an index in one byte: most of what clients send
                    index = first & 0x7F
                    position += 1
                    header = self._entry(index) if index > _STATIC_COUNT else _STATIC_TABLE[index - 1]
                else:
                    header, position = self._field(block, position)
                list_bytes += len(header[0]) + len(header[1]) + ENTRY_OVERHEAD_BYTES
                if list_bytes <= self._max_list_bytes:
                    headers.append(header)
        except IndexError:
            raise HpackError("the header block is cut off") from None
        return headers if list_bytes <= self._max_list_bytes else None

    def _resize(self, block: bytes) -> int:
        """Follow size updates, which stand at the beginning of a block only (RFC 7541, 4.2)."""
        position = 0
        while position < len(block) and block[position] & 0xE0 == 0x20:
            size, position = _integer(block, position, 0x1F)
            if size > self._allowed_table_bytes:
                raise HpackError(f"a table size over {self._allowed_table_bytes} bytes")
            self._max_table_bytes = size
            self._evict()
        return position

    def _field(self, block: bytes, position: int) -> tuple[Header, int]:
        first = block[position]
        if first & 0x80:
            index, position = _integer(block, position, 0x7F)
            return self._entry(index), position
        if first & 0x40:
            header, position = self._literal(block, position, 0x3F)
            self._insert(header)
            return header, position
        if first & 0x20:
            raise HpackError("a table size update behind a header")
        return self._literal(block, position, 0x0F)

    def _literal(self, block: bytes, position: int, prefix: int) -> tuple[Header, int]:
        index = block[position] & prefix
        if index < prefix:
            position += 1
        else:
            index, position = _integer(block, position, prefix)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _entry(self, index: int) -> Header:
        if index > _STATIC_COUNT:
            place = len(self._table) + _STATIC_COUNT - index
            if place < 0:
                raise HpackError(f"no header has the index {index}")
            return self._table[place]
        if index == 0:
            raise HpackError("no header has the index 0")
        return _STATIC_TABLE[index - 1]

    def _insert(self, header: Header) -> None:
        self._table.append(header)
        self._table_bytes += len(header[0]) + len(header[1]) + ENTRY_OVERHEAD_BYTES
        self._evict()

    def _evict(self) -> None:
        """Drop the oldest entries until the table fits; one that is too large empties it."""
        self.generation += 1
        gone = 0
        while self._table_bytes > self._max_table_bytes:
            name, value = self._table[gone]
            self._table_bytes -= len(name) + len(value) + ENTRY_OVERHEAD_BYTES
            gone += 1
        del self._table[:gone]


def encode_header(name: bytes, value: bytes) -> bytes:
    """A literal that enters no table; a name of the static table is sent as its index."""
    index = _STATIC_NAMES.get(name)
    head = _encode_integer(index, 0x0F) if index else b"\x00" + _encode_string(name)
    return head + _encode_string(value)


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """An integer whose first byte shares `prefix` bits (RFC 7541, 5.1), and the position behind it."""
    value = block[position] & prefix
    position += 1
    if value < prefix:
        return value, position
    shift = 0
    while True:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if value > _MAX_INTEGER or shift > 28:
            raise HpackError("an integer is too large")
        if byte < 0x80:
            return value, position


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    first = block[position]
    length = first & 0x7F
    if length == 0x7F:
        length, position = _integer(block, position, 0x7F)
    else:
        position += 1
    end = position + length
    if end > len(block):
        raise HpackError("a string is cut off")
    text = block[position:end]
    if first < 0x80:
        return text, end
    try:
        return decode_huffman(text), end
    except ValueError as error:
        raise HpackError(str(error)) from None


def _encode_integer(value: int, prefix: int) -> bytes:
    if value < prefix:
        return bytes([value])
    value -= prefix
    encoded = bytearray([prefix])
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _encode_string(text: bytes) -> bytes:
    return _encode_integer(len(text), 0x7F) + text
