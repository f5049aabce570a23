"""`spec.model.storageUri`: the schemes that work, and the one form that each of them has.

The refused value is never shown: a URI may carry a password or a signature.
"""

from typing import Annotated

from pydantic import Field

from modelservice_operator.api.types.base import DNS_SUBDOMAIN
from modelservice_operator.api.types.oci import DIGEST, HOST, REPOSITORY, TAG
from modelservice_operator.api.types.rules import Rule, must_match, must_not_contain

MOUNTED_SCHEMES = ("pvc://", "configmap://")
"""Models that are mounted into the pod, not downloaded."""

_HUB_NAME = "[A-Za-z0-9][-A-Za-z0-9._]{0,95}"


def _form(scheme: str, rest: str, message: str) -> Rule:
    return must_match(f"{scheme}://{rest}", message, prefix=f"{scheme}://", echo=False)


StorageUri = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    must_match(
        r"(oci|s3|gs|az|hf|https|http|pvc|configmap)://[\s\S]*",
        "expected oci://, s3://, gs://, az://, hf://, https://, http:// (with sha256), pvc:// or "
        "configmap:// at the beginning: other sources are not supported",
        echo=False,
    ),
    must_match(
        r"[!-\[\]-~]*",
        "expected printable ASCII characters without spaces and backslashes: percent-encode the others",
        echo=False,
    ),
    must_not_contain(
        "^[a-z0-9]+://[^/?#]*@",
        "credentials in a URI can be read by everybody who sees the object: "
        "put them into a Secret and name it in spec.model.credentials.secretName",
        echo=False,
    ),
    must_not_contain(
        r"^[^?]*(/\.{1,2}([/?#]|$)|%(2[EeFf]|5[Cc]|[01][0-9A-Fa-f]|7[Ff]))",
        "'.' and '..' as parts of the path, and percent-encoded dots, slashes and control characters, "
        "are refused: write the path plainly",
        echo=False,
    ),
    _form(
        "oci",
        f"{HOST}/{REPOSITORY}({TAG}({DIGEST})?|{DIGEST})",
        "expected oci://REGISTRY/REPOSITORY:TAG or oci://REGISTRY/REPOSITORY@sha256:DIGEST",
    ),
    _form(
        "s3",
        "[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]/[^?#]+",
        "expected s3://BUCKET/KEY or s3://BUCKET/PREFIX/, without '?' and '#'",
    ),
    _form(
        "gs",
        "[a-z0-9][-a-z0-9_.]{1,61}[a-z0-9]/[^?#]+",
        "expected gs://BUCKET/KEY or gs://BUCKET/PREFIX/, without '?' and '#'",
    ),
    _form(
        "az",
        "[a-z0-9][-a-z0-9]{1,61}[a-z0-9]/[^?#]+",
        "expected az://CONTAINER/KEY or az://CONTAINER/PREFIX/, without '?' and '#'",
    ),
    _form(
        "hf",
        rf"{_HUB_NAME}/{_HUB_NAME}(@(refs/(pr|convert)/[-A-Za-z0-9._]+|[A-Za-z0-9][-A-Za-z0-9._]*))?(/[^?#]*)?",
        "expected hf://ORGANIZATION/REPOSITORY, with @REVISION and /PATH where wanted, without '?' and '#'",
    ),
    _form("https", f"{HOST}/[^?#][^#]*", "expected https://HOST[:PORT]/PATH, without '#'"),
    _form("http", f"{HOST}/[^?#][^#]*", "expected http://HOST[:PORT]/PATH, without '#'"),
    _form(
        "pvc",
        f"{DNS_SUBDOMAIN}(/[-A-Za-z0-9._=+@,~]+)+/?",
        "expected pvc://CLAIM/PATH of letters, digits and -._=+@,~ where CLAIM is a "
        "PersistentVolumeClaim of the same namespace",
    ),
    _form(
        "configmap",
        f"{DNS_SUBDOMAIN}/[-A-Za-z0-9._]+",
        "expected configmap://NAME/KEY where NAME is a ConfigMap of the same namespace",
    ),
]
"""The address of a model."""
