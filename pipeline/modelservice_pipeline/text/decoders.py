"""What the tokens of a tokenizer.json stand for: the bytes of each, at the beginning of a text and after."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.split import BYTE_CHARACTERS

_BYTES_OF = {chr(character): byte for byte, character in enumerate(BYTE_CHARACTERS)}
_ENGLISH = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


@dataclass(frozen=True)
class Spelling:
    """How tokens are written.

    Attributes:
        first: The bytes of each token at the beginning of a text; by its number.
        later: The same anywhere else.
        skipped: Tokens that are not written, such as [SEP].
        is_byte: Tokens that are one byte, where all that follow one another are wrong if one of them is.
        stripped: How many spaces are left out at the beginning of a text.
    """

    first: list[bytes]
    later: list[bytes]
    skipped: frozenset[int]
    is_byte: frozenset[int] = frozenset()
    stripped: int = 0


def read_spelling(config: dict[str, Any]) -> Spelling:
    """Return how a tokenizer.json writes its tokens. Raises PipelineError for what is not supported."""
    if not isinstance(config["model"].get("vocab"), dict):
        raise PipelineError(f"the model {config['model'].get('type')} is not supported")
    texts = {number: text for text, number in config["model"]["vocab"].items()}
    texts |= {token["id"]: token["content"] for token in config.get("added_tokens") or []}
    tokens = [texts.get(number, "") for number in range(max(texts) + 1)]
    special = {token["id"] for token in config.get("added_tokens") or [] if token["special"]}
    skipped = frozenset(special | (set(range(len(tokens))) - set(texts)))
    parts = _flatten(config.get("decoder"))
    plain = Spelling([], [], skipped)
    if not parts:
        return replace(plain, first=_encode(tokens), later=_encode([f" {token}" for token in tokens]))
    kinds = [part["type"] for part in parts]
    if kinds == ["ByteLevel"]:
        spelled = [_read_bytes(token) for token in tokens]
        return replace(plain, first=spelled, later=spelled)
    if len(parts) == 1 and kinds[0] in _SIMPLE:
        return replace(plain, **_SIMPLE[kinds[0]](parts[0], tokens))
    return _read_sentence_piece(parts, tokens, plain)


def _flatten(config: dict[str, Any] | None) -> list[dict[str, Any]]:
    if config is None:
        return []
    if config["type"] == "Sequence":
        return [part for inner in config["decoders"] for part in _flatten(inner)]
    return [config]


def _encode(texts: list[str]) -> list[bytes]:
    return [text.encode() for text in texts]


def _read_bytes(token: str) -> bytes:
    if all(letter in _BYTES_OF for letter in token):
        return bytes(_BYTES_OF[letter] for letter in token)
    return token.encode()


def _read_word_piece(config: dict[str, Any], tokens: list[str]) -> dict[str, Any]:
    prefix = config["prefix"]

    def clean(text: str) -> str:
        for old, new in _ENGLISH if config.get("cleanup") else ():
            text = text.replace(old, new)
        return text

    later = [token.replace(prefix, "", 1) if token.startswith(prefix) else f" {token}" for token in tokens]
    return {"first": _encode(list(map(clean, tokens))), "later": _encode(list(map(clean, later)))}


def _read_metaspace(config: dict[str, Any], tokens: list[str]) -> dict[str, Any]:
    mark = config.get("replacement", "▁")
    scheme = config.get("prepend_scheme", "always" if config.get("add_prefix_space", True) else "never")
    gone = " " if scheme == "never" else ""
    return {
        "first": _encode([token.replace(mark, gone) for token in tokens]),
        "later": _encode([token.replace(mark, " ") for token in tokens]),
    }


_SIMPLE: dict[str, Callable[[dict[str, Any], list[str]], dict[str, Any]]] = {
    "Metaspace": _read_metaspace,
    "WordPiece": _read_word_piece,
}


def _read_sentence_piece(parts: list[dict[str, Any]], tokens: list[str], spelling: Spelling) -> Spelling:
    """Read replacements, then bytes, then what is stripped of the whole text: as Llama's decoders are."""
    is_byte: frozenset[int] = frozenset()
    fused = False
    for part in parts:
        match part["type"]:
            case "Replace" if "String" in part["pattern"] and not is_byte and not fused:
                tokens = [token.replace(part["pattern"]["String"], part["content"]) for token in tokens]
            case "ByteFallback" if not fused:
                is_byte = frozenset(number for number, token in enumerate(tokens) if _is_byte(token))
            case "Fuse":
                fused = True
            case "Strip" if fused and part["content"] == " " and not part["stop"]:
                spelling = replace(spelling, stripped=part["start"])
            case kind:
                raise PipelineError(f"the decoder {kind} at this place is not supported")
    spelled = [
        bytes([int(token[3:5], 16)]) if number in is_byte else token.encode()
        for number, token in enumerate(tokens)
    ]
    return replace(spelling, first=spelled, later=spelled, is_byte=is_byte)


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")
