"""Where an artifact is: `REGISTRY/REPOSITORY:TAG`, `@sha256:...`, with `oci://` in front or not."""

import ipaddress
import re
from dataclasses import dataclass, replace

from modelservice_operator.api.types.oci import DIGEST, HOST, REPOSITORY, TAG
from modelservice_pipeline.errors import PipelineError

_REFERENCE = re.compile(
    rf"(?:oci://)?(?P<host>{HOST})/(?P<repository>{REPOSITORY})(?P<tag>{TAG})?(?P<digest>{DIGEST})?"
)
_FORM = "expected REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST, such as"
_EXAMPLE = "registry.example.com/models/spam:1"


@dataclass(frozen=True)
class Reference:
    """An artifact of a registry; `digest` has its `sha256:`, and wins over the tag."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def is_local(self) -> bool:
        """Whether the registry is this machine itself."""
        name = self.host.rpartition(":")[0] or self.host
        if name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def wanted(self) -> str:
        """What a registry is asked for. Raises PipelineError where it is neither tag nor digest."""
        if self.digest or self.tag:
            return self.digest or str(self.tag)
        raise PipelineError(f"{self} names a repository: add :TAG or @sha256:DIGEST")

    def pinned(self, digest: str) -> "Reference":
        """Return the same by its digest alone."""
        return replace(self, tag=None, digest=digest)


def parse_reference(text: str) -> Reference:
    """Return the reference in a text. Raises PipelineError."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise PipelineError(f"{text!r} is no reference: {_FORM} {_EXAMPLE}")
    host, digest = match["host"], match["digest"]
    if "." not in host and ":" not in host and host != "localhost":
        raise PipelineError(f"{text!r} names no registry: {_FORM} {_EXAMPLE}")
    tag = match["tag"]
    return Reference(host, match["repository"], tag and tag[1:], digest and digest[1:])
