"""`spec.rollout.evaluation`: what a new revision has to show on a data set before it gets a pod."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.spec.model import Credentials, Sha256
from modelservice_operator.api.types.base import (
    ApiModel,
    Quantity,
    between,
    list_map,
    quantity_between,
    unique_by,
)
from modelservice_operator.api.types.rules import Rule, must_match, must_not_contain
from modelservice_operator.api.types.storage_uri import MOUNTED_SCHEMES, StorageUri

ScoreName = Literal[
    "Accuracy",
    "BalancedAccuracy",
    "Precision",
    "Recall",
    "F1",
    "PrecisionMacro",
    "RecallMacro",
    "F1Macro",
    "F1Micro",
    "F1Weighted",
    "RocAuc",
    "AveragePrecision",
    "R2",
    "ExactMatch",
]

_Column = Annotated[
    str,
    Field(min_length=1, max_length=200),
    must_not_contain(r"[,=\x00-\x1f]", "expected the name of a column, without comma, '=' and line breaks"),
]
_FileName = Annotated[
    str,
    Field(max_length=253),
    must_match(
        "[A-Za-z0-9_][-A-Za-z0-9._]*", "expected a file's name of letters, digits and -._, without a folder"
    ),
]


class InputColumns(ApiModel):
    """Where an input's values are."""

    name: Annotated[str, Field(min_length=1, max_length=200), must_not_contain("=", "expected no '='")]
    """The model's input."""
    columns: Annotated[tuple[_Column, ...], Field(min_length=1, max_length=64)]
    """The columns with its values, in this order."""


class EvaluationData(ApiModel):
    """Rows with right answers: .csv, .tsv, .jsonl or .npz, each also with .gz."""

    storage_uri: StorageUri | None = None
    """Where the rows are, as in spec.model.storageUri. Default: where the model is."""
    file: _FileName | None = None
    """The file's name there: beside the model's file, in the artifact or folder. Default: the last part of
    storageUri."""
    sha256: Sha256 | None = None
    """The SHA-256 of the file. Another file is refused."""
    credentials: Credentials | None = None
    """Credentials for the download."""
    max_size: Quantity | None = None
    """The most bytes that are downloaded. Default: 1Gi."""
    label: _Column | None = None
    """The column of the right answers. Default: the one called label, target, class or y."""
    inputs: Annotated[tuple[InputColumns, ...] | None, list_map("name", 64, minimum=1), unique_by("name")] = (
        None
    )
    """Where values of inputs are. Default: by the columns' names; one input takes all columns that are
    left."""
    ignore: Annotated[tuple[_Column, ...], Field(max_length=256)] = ()
    """Columns that are no input."""

    rules = (
        Rule(
            cel=(
                "has(self.file) || (has(self.storageUri) && !self.storageUri.startsWith('oci://') "
                "&& !self.storageUri.endsWith('/'))"
            ),
            message="nothing names the file with the rows: say which one it is",
            check=lambda self: (
                self.file is not None
                or (
                    self.storage_uri is not None
                    and not self.storage_uri.startswith("oci://")
                    and not self.storage_uri.endswith("/")
                )
            ),
            field_path=".file",
        ),
        Rule(
            cel="!has(self.storageUri) || !self.storageUri.startsWith('http://') || has(self.sha256)",
            message="http:// is not encrypted and needs sha256: add it, or use https://",
            check=lambda self: (
                self.storage_uri is None
                or not self.storage_uri.startswith("http://")
                or self.sha256 is not None
            ),
            field_path=".storageUri",
        ),
        Rule(
            cel=(
                "!has(self.credentials) || (has(self.storageUri) && !self.storageUri.startsWith('pvc://') "
                "&& !self.storageUri.startsWith('configmap://'))"
            ),
            message="nothing is downloaded with them: name a storageUri that is downloaded, or remove "
            "credentials",
            check=lambda self: (
                self.credentials is None
                or (self.storage_uri is not None and not self.storage_uri.startswith(MOUNTED_SCHEMES))
            ),
            field_path=".credentials",
        ),
        quantity_between("maxSize", "max_size", "1", "1Pi", "from 1 byte to 1Pi, such as 1Gi"),
    )


class Evaluation(ApiModel):
    """A Job in the runtime's image scores a new revision on rows with right answers, before it gets a pod."""

    data: EvaluationData
    """The rows."""
    metric: ScoreName = "Accuracy"
    """What is computed; more is better. Precision, Recall and F1 are of the greater of two classes, of more
    classes their mean; R2 is for numbers, ExactMatch for texts. Default: Accuracy."""
    output: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The model's output that answers: classes, or a score for each of them. Default: the one that fits."""
    classes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=1000)
    ] = ()
    """What the model's classes are called, in its order. Default: as it answers them."""
    min: Quantity | None = None
    """The least that it has to be, such as "0.9"."""
    max_drop: Quantity | None = None
    """How much less it may be than the old revision's on the same rows; all but 5 percent of chance has to
    be within it."""
    min_rows: Annotated[int, between(1, 10_000_000)] = 100
    """Rows below which nothing is said. Default: 100."""
    deadline_seconds: Annotated[int, between(10, 86_400)] = 1800
    """How long it may take, downloads included. Default: 1800."""

    rules = (
        Rule(
            cel="has(self.min) || has(self.maxDrop)",
            message="expected a bound: min, maxDrop or both",
            check=lambda self: self.min is not None or self.max_drop is not None,
        ),
        quantity_between("min", "min", "0", "1", 'a number from 0 to 1, such as "0.9"'),
        quantity_between("maxDrop", "max_drop", "0", "1", 'a number from 0 to 1, such as "0.01"'),
    )
