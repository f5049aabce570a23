"""JSON objects in which NaN and infinities stand among the numbers; pure.

Clients of Triton and of TensorFlow Serving may send them, as the words that those servers' parser knows: NaN,
Inf and Infinity, with a minus or without. The fast parser refuses them. Only a body that it refused and that
has such a word is read again, by the standard library's parser, which takes two to four times as long.
Sources: Triton `triton_json.h` and TensorFlow Serving `json_tensor.cc` (RapidJSON's kParseNanAndInfFlag).
"""

import json
import re
from typing import Any

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.json_codec import decode_object, refuse_duplicate_members
from modelservice_runtime.transport.pieces import find_word

_WORDS = (b"NaN", b"Inf")
# What the standard library's parser reads is NaN, Infinity and -Infinity. Texts are passed over as a whole.
_OTHER_SPELLING = re.compile(rb"Inf(?!inity)|-NaN")
# A text that never ends is passed over as well: looking for its end at each quote would take quadratic time.
_TEXT_OR_WORD = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-NaN\b|\bInf\b', re.DOTALL)
_PLAIN_SPELLING = {b"-NaN": b"NaN", b"Inf": b"Infinity"}
# Half of a character outside the basic plane; alone it is no character.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


# Functions of Python's, unlike the built-in ones: other threads have the interpreter between two of them.
def _read_float(text: str) -> float:
    return float(text)


def _read_int(text: str) -> int:
    return int(text)


def decode_object_with_tokens(body: bytes | bytearray) -> dict[str, Any]:
    """Parse a JSON object; the same limits and errors as `decode_object`, but for the words."""
    try:
        return decode_object(body)
    except InvalidRequestError:
        if not any(find_word(body, word) >= 0 for word in _WORDS):
            raise
    try:
        document = json.loads(
            _in_plain_spelling(body).decode("utf-8"),
            object_pairs_hook=refuse_duplicate_members,
            parse_float=_read_float,
            parse_int=_read_int,
        )
        if _SURROGATE.search(body):
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise InvalidRequestError("the body is not valid JSON: it is nested too deeply") from None
    except UnicodeError:
        raise InvalidRequestError("the body is not valid JSON: it has text that is not Unicode") from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from None
    except ValueError:  # Python reads integers of up to 4300 digits
        raise InvalidRequestError("the body has an integer of too many digits") from None
    if type(document) is not dict:
        raise InvalidRequestError("the body must be a JSON object")
    return document


def _in_plain_spelling(body: bytes | bytearray) -> bytes | bytearray:
    if _OTHER_SPELLING.search(body) is None:
        return body
    return _TEXT_OR_WORD.sub(lambda found: _PLAIN_SPELLING.get(found.group(), found.group()), body)
