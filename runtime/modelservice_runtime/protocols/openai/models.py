"""Which models there are, in OpenAI's words; who answers for a name."""

from typing import Any

from modelservice_runtime.errors import NotFoundError
from modelservice_runtime.generation.values import GenerativeModel
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.openai.asking.fields import Fields, shown
from modelservice_runtime.protocols.openai.errors import FieldError, UnknownModelError
from modelservice_runtime.protocols.openai.vectors.signatures import find_cross_encoder, find_encoder

_OWNER = "modelservice"


def read_model_name(fields: Fields) -> str:
    """The model that a body names. Raises FieldError."""
    if not fields.has("model"):
        raise FieldError("'model' is missing; GET /v1/models lists those that there are", "model")
    return fields.text("model") or ""


def find_text_model(table: ModelTable, name: str) -> tuple[GenerativeModel, str | None]:
    """The model that generates text under this name, or the one whose adapter this is, and the adapter.

    Raises UnknownModelError, ModelUnavailableError, and FieldError for a model of tensors.
    """
    model = table.find_generative(name)
    if model is not None:
        return model, model.adapter_of(name)
    try:
        table.find(name, None)
    except NotFoundError:
        raise UnknownModelError(
            f"the model {shown(name)} does not exist; GET /v1/models lists those that do"
        ) from None
    raise FieldError(
        f"model '{name}' takes tensors and generates no text; POST to /v2/models/{name}/infer. What "
        "generates text has genai_config.json beside its graph (and a ModelService spec.generation)",
        "model",
    )


def model_document(table: ModelTable, name: str) -> dict[str, Any] | None:
    """`GET /v1/models/M`: a model that generates text, or an adapter; None for others."""
    model = table.find_generative(name)
    return None if model is None else _document(model, name)


def list_documents(table: ModelTable) -> list[dict[str, Any]]:
    """The entries of `GET /v1/models`: models that generate text, their adapters, and those of vectors."""
    generative = table.generative()
    texts = [_document(model, name) for model in generative for name in (model.name, *model.adapters)]
    vectors = {handle.name for handle in table.handles() if _answers_for_texts(handle)}
    return texts + [_vector_document(name) for name in sorted(vectors)]


def vector_document(table: ModelTable, name: str) -> dict[str, Any] | None:
    """What OpenAI's clients read of a model of tensors that gives vectors or scores; None for others."""
    known = any(handle.name == name and _answers_for_texts(handle) for handle in table.handles())
    return _vector_document(name) if known else None


def find_document(table: ModelTable, name: str) -> dict[str, Any] | None:
    """The entry of this name in `GET /v1/models`; None where it has none."""
    return model_document(table, name) or vector_document(table, name)


def _answers_for_texts(handle: ModelHandle) -> bool:
    spec = handle.spec
    return bool(handle.texts or find_encoder(spec) or find_cross_encoder(spec))


def _vector_document(name: str) -> dict[str, Any]:
    # When its files were made is not kept.
    return {"id": name, "object": "model", "created": 0, "owned_by": _OWNER, "root": name, "parent": None}


def _document(model: GenerativeModel, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": _OWNER,
        "root": model.name,
        "parent": None if model.adapter_of(name) is None else model.name,
        "max_model_len": model.lane.limits.max_context_tokens,
    }
