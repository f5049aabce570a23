"""What an answer's text must look like: `response_format`, and vLLM's `structured_outputs`; pure."""

from dataclasses import dataclass

from modelservice_runtime.generation.values import FormKind, TextForm
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.errors import FieldError

_MAX_CHOICES = 1024
# Compiling one takes time by the square of its length: so many characters took 0.9 s, 60,000 took 11.
_MAX_PATTERN_LENGTH = 16 * 1024
# Older names of vLLM for what `structured_outputs` holds.
_OLDER = {"guided_json": "json", "guided_regex": "regex", "guided_choice": "choice"}


@dataclass(frozen=True, slots=True)
class AskedForm:
    """A form, and the field that asked for it."""

    form: TextForm
    param: str


def read_format(fields: Fields, first: AskedForm | None) -> AskedForm | None:
    """The form that the request asks for in OpenAI's field, `first`, or in vLLM's; None for any text.

    Raises FieldError.
    """
    found = [first, _read_structured(fields), *_read_older(fields)]
    formats = [one for one in found if one is not None]
    if len(formats) > 1:
        names = " and ".join(f"'{one.param}'" for one in formats)
        raise FieldError(f"{names} contradict each other; send one", formats[1].param)
    return formats[0] if formats else None


def read_response_format(fields: Fields) -> AskedForm | None:
    """Chat's `response_format`. Raises FieldError."""
    wanted = fields.object("response_format")
    if wanted is None or _kind(wanted) == "text":
        return None
    if _kind(wanted) == "json_object":
        return AskedForm(TextForm(FormKind.JSON_OBJECT), "response_format")
    described = wanted.object("json_schema")
    if described is None:
        raise wanted.fail("json_schema", "an object with a name and a schema")
    described.required("schema")
    return _schema(described, "schema")


def read_text_format(fields: Fields) -> AskedForm | None:
    """The `format` in the `text` of responses; its schema stands beside its type. Raises FieldError."""
    text = fields.object("text")
    wanted = None if text is None else text.object("format")
    if wanted is None or _kind(wanted) == "text":
        return None
    if _kind(wanted) == "json_object":
        return AskedForm(TextForm(FormKind.JSON_OBJECT), "text.format")
    schema = wanted.raw_object("schema")
    if schema is None:
        raise wanted.fail("schema", "a JSON schema")
    return AskedForm(TextForm(FormKind.JSON_SCHEMA, schema), "text.format.schema")


def _kind(wanted: Fields) -> str | None:
    wanted.required("type")
    return wanted.choice("type", ("text", "json_object", "json_schema"))


def _read_structured(fields: Fields) -> AskedForm | None:
    wanted = fields.object("structured_outputs")
    if wanted is None:
        return None
    for name in ("grammar", "structural_tag"):
        if wanted.has(name):
            raise FieldError(
                f"'structured_outputs.{name}' is not supported; send json, regex or choice",
                f"structured_outputs.{name}",
            )
    kinds = [kind for kind in ("json", "regex", "choice") if wanted.has(kind)]
    if wanted.flag("json_object"):
        kinds.append("json_object")
    if len(kinds) != 1:
        raise FieldError(
            "'structured_outputs' must hold one of json, regex, choice and json_object", "structured_outputs"
        )
    return _read_one(wanted, kinds[0], kinds[0])


def _read_older(fields: Fields) -> list[AskedForm]:
    return [_read_one(fields, name, kind) for name, kind in _OLDER.items() if fields.has(name)]


def _read_one(fields: Fields, field: str, kind: str) -> AskedForm:
    if kind == "json":
        return _schema(fields, field)
    if kind == "json_object":
        return AskedForm(TextForm(FormKind.JSON_OBJECT), fields.name(field))
    if kind == "regex":
        pattern = fields.text(field, max_length=_MAX_PATTERN_LENGTH)
        return AskedForm(TextForm(FormKind.REGEX, pattern), fields.name(field))
    choices = fields.items(field, max_items=_MAX_CHOICES) or []
    if not choices or not all(isinstance(choice, str) for choice in choices):
        raise fields.fail(field, "a list of strings")
    return AskedForm(TextForm(FormKind.CHOICE, choices), fields.name(field))


def _schema(fields: Fields, field: str) -> AskedForm:
    """A schema, which vLLM also takes as a text of JSON."""
    value = fields.any(field)
    if not isinstance(value, dict | str):
        raise fields.fail(field, "a JSON schema")
    return AskedForm(TextForm(FormKind.JSON_SCHEMA, value), fields.name(field))
