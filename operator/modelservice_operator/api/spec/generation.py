"""`spec.generation`: a model that generates text, and what its texts may take."""

from typing import Annotated

from modelservice_operator.api.spec.model import Credentials, ProtocolName, SampleFile, Sha256
from modelservice_operator.api.types.base import (
    ApiModel,
    Quantity,
    between,
    list_map,
    quantity_between,
    unique_by,
)
from modelservice_operator.api.types.rules import Rule
from modelservice_operator.api.types.storage_uri import MOUNTED_SCHEMES, StorageUri

MAX_CONTEXT_TOKENS = 1 << 24
_MAX_ADAPTERS = 32


class Adapter(ApiModel):
    """A LoRA adapter: weights that the model's graph takes as optional inputs, in an .onnx_adapter file."""

    name: ProtocolName
    """What requests ask for as their model."""
    storage_uri: StorageUri
    """Where it is, as in spec.model.storageUri."""
    file: SampleFile | None = None
    """The file's name there: in the artifact or folder. Default: the last part of storageUri."""
    sha256: Sha256 | None = None
    """The SHA-256 of the file. Another file is refused."""
    credentials: Credentials | None = None
    """Credentials for the download; those of the model are for the model alone."""
    max_size: Quantity | None = None
    """The most bytes that are downloaded. Default: 1Gi."""

    rules = (
        Rule(
            cel=(
                "has(self.file) || !(self.storageUri.startsWith('oci://') || self.storageUri.endsWith('/'))"
            ),
            message="nothing names the adapter's file: say which one it is",
            check=lambda self: (
                self.file is not None
                or not (self.storage_uri.startswith("oci://") or self.storage_uri.endswith("/"))
            ),
            field_path=".file",
        ),
        Rule(
            cel="!self.storageUri.startsWith('http://') || has(self.sha256)",
            message="http:// is not encrypted and needs sha256: add it, or use https://",
            check=lambda self: not self.storage_uri.startswith("http://") or self.sha256 is not None,
            field_path=".storageUri",
        ),
        Rule(
            cel=(
                "!(has(self.credentials) || has(self.maxSize)) || "
                "!(self.storageUri.startsWith('pvc://') || self.storageUri.startsWith('configmap://'))"
            ),
            message="pvc:// and configmap:// are mounted, nothing is downloaded: remove credentials and "
            "maxSize",
            check=lambda self: (
                (self.credentials is None and self.max_size is None)
                or not self.storage_uri.startswith(MOUNTED_SCHEMES)
            ),
            field_path=".storageUri",
        ),
        quantity_between("maxSize", "max_size", "1", "1Pi", "from 1 byte to 1Pi, such as 1Gi"),
    )


class Generation(ApiModel):
    """How a model that generates text shares its pod; what is left out is the server's choice.

    The files beside the graph come along: genai_config.json, the tokenizer and the chat template.
    """

    max_sequences: Annotated[int, between(1, 1024)] | None = None
    """Texts that are generated at the same time; the others wait. Default: 16."""
    max_context_tokens: Annotated[int, between(1, MAX_CONTEXT_TOKENS)] | None = None
    """Tokens of one text, prompt and completion together. Default: the model's own number, at most 4096, less
    where memory is short."""
    max_output_tokens: Annotated[int, between(1, MAX_CONTEXT_TOKENS)] | None = None
    """The most tokens of one completion. Default: what the context leaves."""
    kv_cache_memory: Quantity | None = None
    """Memory for the keys and values of all texts, such as 2Gi. Default: what maxContextTokens needs, or half
    of what the weights leave of the pod's memory, or of its GPU's."""
    prefix_cache: bool | None = None
    """Whether a prompt that begins like an earlier one of the same caller is read from there on only.
    Default: true."""
    adapters: Annotated[tuple[Adapter, ...], list_map("name", _MAX_ADAPTERS), unique_by("name")] = ()
    """LoRA adapters, each with a name of its own. Another list is another revision."""

    rules = (
        quantity_between("kvCacheMemory", "kv_cache_memory", "1Mi", "16Ti", "from 1Mi to 16Ti, such as 2Gi"),
    )
