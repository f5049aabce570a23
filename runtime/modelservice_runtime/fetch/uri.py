"""Model URIs: one parser, so that no two places read the same text differently. Pure.

The text is refused unless every part has exactly one reading: no user information, no dot segments,
encoded or not, no control characters, no backslashes.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from yarl import URL

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.redaction import redact_url

SUPPORTED_SCHEMES = ("oci", "s3", "gs", "az", "hf", "https", "http", "pvc", "configmap")
_MAX_URI_LENGTH = 2048
_MAX_PORT = 65535

_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_ENCODED_TRAP = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)
_BUCKETS = {
    "s3": re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
    "gs": re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"),
    "az": re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
}
# Names and tags as the OCI distribution specification 1.1 defines them.
_REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_REFERENCE = re.compile(
    rf"(?P<repository>{_REPOSITORY})(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)

# A name of the Hub, and a Git revision: a branch, a tag, a commit, or the Hub's own kind of references.
_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_HUB_PATH = re.compile(
    r"/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,95})"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[A-Za-z0-9._-]+|[A-Za-z0-9][A-Za-z0-9._-]*))?(?P<path>/.*)?"
)
_HUB_REVISION = "main"


@dataclass(frozen=True)
class WebUri:
    """A file on a web server."""

    url: URL


@dataclass(frozen=True)
class OciUri:
    """An artifact in an OCI registry; `reference` is the digest if there is one, else the tag."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def reference(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag or ""


@dataclass(frozen=True)
class ObjectUri:
    """An object in a bucket, or with a key that ends in a slash the model below a prefix."""

    scheme: str
    bucket: str
    key: str

    @property
    def is_prefix(self) -> bool:
        """Whether a prefix is meant."""
        return self.key.endswith("/")


@dataclass(frozen=True)
class HubUri:
    """A file of a repository of models on the Hugging Face Hub, or the model below a folder of it.

    Attributes:
        repository: with its owner: `ORG/NAME`.
        revision: a branch, a tag or a commit.
        path: of the file or folder; empty for the whole repository.

    """

    repository: str
    revision: str
    path: str


@dataclass(frozen=True)
class FileUri:
    """A file that is already on this machine."""

    path: str


ModelUri = WebUri | OciUri | ObjectUri | HubUri | FileUri


def invalid_uri(message: str) -> FetchError:
    """A refused URI."""
    return FetchError(FetchReason.INVALID_URI, message)


def parse_uri(text: str) -> ModelUri:
    """Parse a model URI.

    Args:
        text: the URI as the user wrote it.

    Raises:
        FetchError: `InvalidUri`, with the form that was expected.

    """
    _check_characters(text)
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise invalid_uri(
            f"the model URI needs the form SCHEME://...; schemes: {', '.join(SUPPORTED_SCHEMES)}"
        )
    scheme, authority, rest = match["scheme"].lower(), match["authority"], match["rest"]
    if "@" in authority:
        raise invalid_uri(
            "the model URI carries a user name or password; put it into a Secret and name it in "
            "spec.model.credentials.secretName"
        )
    _check_path(rest.partition("?")[0])
    match scheme:
        case "https" | "http":
            return _parse_web(scheme, authority, rest)
        case "oci":
            return _parse_oci(authority, rest)
        case "s3" | "gs" | "az":
            return _parse_object(scheme, authority, rest)
        case "hf":
            return _parse_hub(authority, rest)
        case "file":
            return _parse_file(authority, rest)
        case "pvc" | "configmap":
            raise invalid_uri(f"{scheme}:// is mounted into the pod by the operator and is never downloaded")
    raise invalid_uri(f"scheme {scheme!r} is not supported; use one of {', '.join(SUPPORTED_SCHEMES)}")


def split_host_port(authority: str) -> tuple[str, int | None]:
    """Split `host[:port]`; IPv6 literals keep their brackets.

    Raises:
        FetchError: `InvalidUri`.

    """
    match = _AUTHORITY.fullmatch(authority)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= _MAX_PORT):
        raise invalid_uri(f"{authority!r} is not a host name or address with an optional port")
    if is_disguised_address(match["host"]):
        raise invalid_uri(
            f"{match['host']!r} is a disguised address; write it as four decimal numbers, as in 10.0.0.1"
        )
    return match["host"], int(match["port"]) if match["port"] else None


def is_disguised_address(host: str) -> bool:
    """Whether resolvers take `host` for an IPv4 address although it does not look like one.

    Decimal (2130706433), hexadecimal (0x7f.1) and short forms (127.1) have a numeric last label, which
    no host name has.
    """
    if _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]) is None:
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return False


def _check_characters(text: str) -> None:
    if len(text) > _MAX_URI_LENGTH:
        raise invalid_uri(f"the model URI is longer than {_MAX_URI_LENGTH} characters")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise invalid_uri(
            "the model URI may contain printable ASCII without spaces and backslashes only; "
            "percent-encode everything else"
        )


def _check_path(path: str) -> None:
    if _ENCODED_TRAP.search(path):
        raise invalid_uri(
            "the path of the model URI contains an encoded dot, slash, backslash or NUL; write it plainly"
        )
    if any(segment in (".", "..") for segment in path.split("/")):
        raise invalid_uri("the path of the model URI contains '.' or '..'; write the full path")
    if "#" in path:
        raise invalid_uri("the model URI has a fragment (#...); remove it")


def _parse_web(scheme: str, authority: str, rest: str) -> WebUri:
    split_host_port(authority)
    if "#" in rest:
        raise invalid_uri("the model URI has a fragment (#...); remove it")
    if rest.partition("?")[0] in ("", "/"):
        raise invalid_uri(f"{scheme}:// needs the path of a file, as in {scheme}://host/path/model.onnx")
    try:
        return WebUri(URL(f"{scheme}://{authority}{rest}", encoded=True))
    except ValueError as error:
        raise invalid_uri(
            f"{redact_url(f'{scheme}://{authority}{rest}')} is not a valid URL: {error}"
        ) from error


def _parse_oci(authority: str, rest: str) -> OciUri:
    split_host_port(authority)
    match = _REFERENCE.fullmatch(rest.removeprefix("/"))
    if match is None or not rest.startswith("/"):
        raise invalid_uri(
            "oci:// needs the form oci://registry/repository:tag or oci://registry/repository@sha256:..."
        )
    if match["tag"] is None and match["digest"] is None:
        raise invalid_uri("oci:// needs a tag or a digest, as in oci://registry/models/spam:1")
    return OciUri(authority, match["repository"], match["tag"], match["digest"])


def _parse_object(scheme: str, authority: str, rest: str) -> ObjectUri:
    """Read bucket and key; the key is percent-decoded once."""
    if _BUCKETS[scheme].fullmatch(authority) is None:
        raise invalid_uri(f"{authority!r} is not a bucket name; the form is {scheme}://bucket/key")
    if rest in ("", "/") or "?" in rest:
        raise invalid_uri(
            f"{scheme}:// needs the form {scheme}://bucket/key, or {scheme}://bucket/prefix/ for the model "
            "below it; write ? as %3F"
        )
    key = _decode(rest[1:], "key")
    if key.startswith("/") or "//" in key:
        raise invalid_uri(
            "the key in the model URI has an empty part (two slashes, or one at its beginning), which is not "
            "supported; copy the object to another key"
        )
    return ObjectUri(scheme, authority, key)


def _parse_hub(authority: str, rest: str) -> HubUri:
    """Read repository, revision and path; the path is percent-decoded once."""
    match = _HUB_PATH.fullmatch(rest)
    if _HUB_NAME.fullmatch(authority) is None or match is None or "?" in rest:
        raise invalid_uri(
            "hf:// needs the form hf://ORGANIZATION/REPOSITORY, with @REVISION and /PATH where wanted, as in "
            "hf://org/spam@main/onnx/model.onnx"
        )
    path = _decode((match["path"] or "").strip("/"), "path")
    if "//" in path:
        raise invalid_uri("the path in the model URI has an empty part (two slashes); write the path plainly")
    return HubUri(f"{authority}/{match['name']}", match["revision"] or _HUB_REVISION, path)


def _decode(text: str, what: str) -> str:
    """Percent-decode `text` once; raises FetchError."""
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid_uri(f"the {what} in the model URI is not UTF-8, percent-encoded") from error
    if not decoded.isprintable():
        raise invalid_uri(
            f"the {what} in the model URI has characters that cannot be printed; rename the object"
        )
    return decoded


def _parse_file(authority: str, rest: str) -> FileUri:
    if authority or not rest.startswith("/") or rest.endswith("/") or "?" in rest:
        raise invalid_uri("file:// needs an absolute path to a file, as in file:///mnt/models/model.onnx")
    return FileUri(unquote(rest))
