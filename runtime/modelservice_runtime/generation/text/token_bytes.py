"""The bytes that each token stands for: a character may lie across several tokens.

Source of the alphabet in which byte-level vocabularies are written: GPT-2, `encoder.py`, `bytes_to_unicode`.
"""

import re

from tokenizers import Tokenizer

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(0x100) if byte not in _PRINTABLE]
_ALPHABET = {chr(byte): bytes([byte]) for byte in _PRINTABLE} | {
    chr(0x100 + index): bytes([byte]) for index, byte in enumerate(_OTHERS)
}
# How SentencePiece writes a byte that is no character, and a space.
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


class TokenBytes:
    """The bytes of a tokenizer's tokens; none for special ones, which are no text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = tokenizer.get_added_tokens_decoder()
        decoder = tokenizer.decoder
        self._is_byte_level = decoder is not None and b'"ByteLevel"' in decoder.__getstate__()

    def of(self, token: int) -> bytes:
        """The bytes of one token."""
        added = self._added.get(token)
        if added is not None:
            return b"" if added.special else added.content.encode()
        piece = self._tokenizer.id_to_token(token) or ""
        if self._is_byte_level:
            return b"".join([_ALPHABET.get(letter) or letter.encode() for letter in piece])
        byte = _BYTE.fullmatch(piece)
        return bytes.fromhex(byte[1]) if byte else piece.replace(_SPACE, " ").encode()
