"""`spec.model`: which file is served, where it comes from, and what may be known about it."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.spec.accelerator import Shape
from modelservice_operator.api.types.base import (
    LABEL_NAME,
    ApiModel,
    ObjectName,
    Quantity,
    between,
    list_map,
    quantity_between,
    unique_by,
)
from modelservice_operator.api.types.rules import Rule, must_match, must_not_contain
from modelservice_operator.api.types.storage_uri import MOUNTED_SCHEMES, StorageUri

GroupId = Annotated[int, between(1, 2_147_483_647)]
Sha256 = Annotated[
    str,
    Field(max_length=128),
    must_match("[0-9a-f]{64}", "expected 64 hexadecimal characters, lower case, as sha256sum prints them"),
]
ModelVersion = Annotated[
    str,
    Field(max_length=63),
    must_match(LABEL_NAME, "expected letters, digits, '-', '_' and '.', in quotes, such as \"3\""),
]


ProtocolName = Annotated[
    str,
    Field(max_length=128),
    must_match(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "expected letters, digits, '.', '_' and '-', beginning with a letter or digit",
    ),
]
SampleFile = Annotated[
    str,
    Field(max_length=253),
    must_match(
        "[A-Za-z0-9_][-A-Za-z0-9._]*", "expected a file's name of letters, digits and -._, without a folder"
    ),
]


class Credentials(ApiModel):
    """Where the fetcher finds credentials."""

    secret_name: ObjectName
    """A Secret of the same namespace; only the fetcher sees it, as files."""


class Decryption(ApiModel):
    """Where the fetcher finds the private keys that decrypt the model's files."""

    secret_name: ObjectName
    """A Secret of the same namespace with private keys of age under key.txt; only the fetcher sees it."""


class ImageVolume(ApiModel):
    """A container image that the node pulls and mounts; nothing is fetched."""

    path: (
        Annotated[
            str,
            Field(max_length=1024),
            must_match(
                "[-A-Za-z0-9._=+@,~]+(/[-A-Za-z0-9._=+@,~]+)*",
                "expected a path in the image without a slash at its ends, such as models/model.onnx",
            ),
            must_not_contain(r"(^|/)\.{1,2}(/|$)", "expected a path without '.' and '..' as parts"),
        ]
        | None
    ) = None
    """The model's file in the image, or the folder with it. Default: models, as in KServe's modelcars."""


_MODEL_SIZE = quantity_between("maxSize", "max_size", "1", "1Pi", "from 1 byte to 1Pi, such as 10Gi")


class ModelCache(ApiModel):
    """A volume on which downloaded files are kept by digest, for all pods that mount it."""

    claim_name: ObjectName
    """A PersistentVolumeClaim of the same namespace: ReadWriteMany, or one on the node of all pods."""
    max_size: Quantity | None = None
    """The most bytes to keep; the longest unused files go first. Default: 50Gi."""
    fs_group: GroupId | None = None
    """The group that owns the volume, where new volumes belong to root: such as 65532. Leave it out where
    the cluster chooses it, as OpenShift does."""

    rules = (_MODEL_SIZE,)


class SampleShape(ApiModel):
    """The shape of one input."""

    input: Annotated[
        str,
        Field(min_length=1, max_length=200),
        must_not_contain(",", "expected the name of an input, without a comma"),
    ]
    """The input's name."""
    shape: Shape
    """Its dimensions, such as [1, 3, 224, 224]."""


class Samples(ApiModel):
    """What the model is tried with before it is ready: exactly one of the fields."""

    file: SampleFile | None = None
    """A request of the Open Inference Protocol as JSON, in the folder of the model's file."""
    shapes: Annotated[
        tuple[SampleShape, ...] | None, list_map("input", 64, minimum=1), unique_by("input")
    ] = None
    """Shapes of inputs with variable dimensions; their values are the server's choice."""

    rules = (
        Rule(
            cel="has(self.file) != has(self.shapes)",
            message="expected exactly one of file and shapes",
            check=lambda self: (self.file is None) != (self.shapes is None),
        ),
    )


_MOUNTED_CEL = "(self.storageUri.startsWith('pvc://') || self.storageUri.startsWith('configmap://'))"


class ModelSpec(ApiModel):
    """Which model is served."""

    storage_uri: StorageUri
    """Where the model is: oci://, s3://, gs://, az://, hf://, https://, http:// (with sha256), pvc:// or
    configmap://."""
    name: ProtocolName | None = None
    """Its name in the protocols and metrics: /v2/models/NAME. Default: the ModelService's own."""
    sha256: Sha256 | None = None
    """The SHA-256 of the model file as it is stored, encrypted or not. Another file is refused and the old
    revision serves on."""
    format: Literal["onnx"] = "onnx"
    """The model's format. Default: onnx."""
    version: ModelVersion | None = None
    """A label for clients and metrics; it selects nothing."""
    max_size: Quantity | None = None
    """The most bytes that are downloaded, such as 10Gi. Default: the operator's setting."""
    credentials: Credentials | None = None
    """Credentials for the download."""
    image_volume: ImageVolume | None = None
    """With oci:// of a container image: mounts the image as a volume, where cluster and nodes can (see the
    documentation of sources). Registry credentials: spec.imagePullSecrets."""
    decryption: Decryption | None = None
    """The files are encrypted in the format of age. In clear they are in the pod's memory only, which needs
    maxSize more: the pod asks for it."""
    cache: ModelCache | None = None
    """Keeps downloads, so that many pods download once. Default: every pod downloads."""
    fs_group: GroupId | None = None
    """With pvc://: a group of the pods to which Kubernetes hands the claim's files, where it can: the claim
    must allow writing. Leave it out where the cluster chooses it, as OpenShift does."""
    supplemental_groups: Annotated[tuple[GroupId, ...], Field(max_length=16)] = ()
    """With pvc://: further groups of the pods, for files that only a group may read."""
    samples: Samples | None = None
    """Inputs that the model accepts, where it cannot be tried with sizes and texts of the server's choice."""
    verify: bool | None = None
    """Replays the proof beside the model (proof.json, proof.npz) before it serves; refuses other answers."""

    rules = (
        Rule(
            cel="!self.storageUri.startsWith('http://') || has(self.sha256)",
            message="http:// is not encrypted and needs spec.model.sha256: add it, or use https://",
            check=lambda self: not self.storage_uri.startswith("http://") or self.sha256 is not None,
            field_path=".storageUri",
        ),
        Rule(
            cel=f"!has(self.credentials) || !{_MOUNTED_CEL}",
            message="pvc:// and configmap:// are mounted, nothing is downloaded: remove credentials",
            check=lambda self: self.credentials is None or not self.storage_uri.startswith(MOUNTED_SCHEMES),
            field_path=".credentials",
        ),
        Rule(
            cel=f"!has(self.maxSize) || !{_MOUNTED_CEL}",
            message="pvc:// and configmap:// are mounted, nothing is downloaded: remove maxSize",
            check=lambda self: self.max_size is None or not self.storage_uri.startswith(MOUNTED_SCHEMES),
            field_path=".maxSize",
        ),
        _MODEL_SIZE,
        Rule(
            cel="!has(self.imageVolume) || self.storageUri.startsWith('oci://')",
            message="only container images are mounted as volumes: use oci://, or remove imageVolume",
            check=lambda self: self.image_volume is None or self.storage_uri.startswith("oci://"),
            field_path=".imageVolume",
        ),
        Rule(
            cel="!has(self.imageVolume) || !(has(self.credentials) || has(self.maxSize) || has(self.cache) "
            "|| has(self.decryption))",
            message="the node pulls the image and nothing is fetched: remove credentials (use "
            "spec.imagePullSecrets), maxSize, cache and decryption",
            check=lambda self: (
                self.image_volume is None
                or not (self.credentials or self.max_size or self.cache or self.decryption)
            ),
            field_path=".imageVolume",
        ),
        Rule(
            cel="!has(self.imageVolume) || !has(self.sha256) || has(self.imageVolume.path)",
            message="sha256 is that of a file: name it in spec.model.imageVolume.path",
            check=lambda self: (
                self.image_volume is None or self.sha256 is None or self.image_volume.path is not None
            ),
            field_path=".imageVolume",
        ),
        Rule(
            cel=f"!has(self.decryption) || !{_MOUNTED_CEL}",
            message="pvc:// and configmap:// are mounted as they are: remove decryption, or use a download",
            check=lambda self: self.decryption is None or not self.storage_uri.startswith(MOUNTED_SCHEMES),
            field_path=".decryption",
        ),
        Rule(
            cel="!has(self.decryption) || has(self.maxSize)",
            message="a model is decrypted into memory: say how much it may take with spec.model.maxSize",
            check=lambda self: self.decryption is None or self.max_size is not None,
            field_path=".maxSize",
        ),
        Rule(
            cel=(
                "!has(self.cache) || self.storageUri.startsWith('oci://') || "
                f"self.storageUri.startsWith('hf://') || (has(self.sha256) && !{_MOUNTED_CEL})"
            ),
            message="only downloads of known digest are kept: use oci:// or hf://, or add sha256, or leave "
            "cache out",
            check=lambda self: (
                self.cache is None
                or self.storage_uri.startswith(("oci://", "hf://"))
                or (self.sha256 is not None and not self.storage_uri.startswith(MOUNTED_SCHEMES))
            ),
            field_path=".cache",
        ),
        Rule(
            cel="!(has(self.fsGroup) || has(self.supplementalGroups)) || self.storageUri.startsWith('pvc://')",
            message="fsGroup and supplementalGroups are for the files of a claim: use pvc://, or remove them",
            check=lambda self: (
                not (self.fs_group or self.supplemental_groups) or self.storage_uri.startswith("pvc://")
            ),
            field_path=".storageUri",
        ),
        Rule(
            cel=f"!has(self.samples) || !has(self.samples.file) || {_MOUNTED_CEL}",
            message="a file of samples lies beside a mounted model: use pvc:// or configmap://, or shapes",
            check=lambda self: (
                self.samples is None
                or self.samples.file is None
                or self.storage_uri.startswith(MOUNTED_SCHEMES)
            ),
            field_path=".samples",
        ),
    )


ENGINES_RULE = Rule(
    cel="!(has(self.model.decryption) && has(self.runtime) && has(self.runtime.tensorrt) && "
    "has(self.runtime.tensorrt.engineCacheSize))",
    message="the engines of an encrypted model would lie on the node's disk in clear: remove "
    "engineCacheSize, or decryption",
    check=lambda self: (
        self.model.decryption is None
        or self.runtime.tensorrt is None
        or self.runtime.tensorrt.engine_cache_size is None
    ),
    field_path=".runtime",
)
"""Of a whole spec."""
