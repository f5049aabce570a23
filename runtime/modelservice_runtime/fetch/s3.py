"""Fetches objects from S3 and from stores that speak its protocol.

botocore only signs (AWS Signature Version 4); requests go through the guarded client like all others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningKey
from yarl import URL

from modelservice_runtime.fetch.client import GuardedClient, check_status, read_document
from modelservice_runtime.fetch.credentials import Credentials, credentials_missing
from modelservice_runtime.fetch.destination import StoredFile
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.limits import MAX_FILES
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import MODEL_FILE, choose_model, clean_path
from modelservice_runtime.fetch.retry import retried
from modelservice_runtime.fetch.transfer import Expected, Transfer
from modelservice_runtime.fetch.uri import S3Uri, invalid_uri

_DEFAULT_REGION = "us-east-1"
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
# Amazon answers 403 with the first code, versitygw 404 with the second.
_UNKNOWN_KEY_CODES = ("InvalidAccessKeyId", "XAdminUserNotFound")
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True)
class Bucket:
    """A bucket: where it is and how requests to it are signed; ``key`` None means anonymous."""

    base_url: str
    region: str
    key: SigningKey | None

    def build_url(self, object_key: str, query: str = "") -> URL:
        """The URL of an object, or of the bucket for the empty key."""
        return URL(f"{self.base_url}/{quote(object_key, safe='/~')}{query}", encoded=True)

    def sign(self, url: URL) -> dict[str, str]:
        """Headers that authorize a GET of ``url`` now."""
        if self.key is None:
            return {}
        request = AWSRequest(method="GET", url=str(url))
        S3SigV4Auth(self.key, "s3", self.region).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}


@dataclass(frozen=True)
class ObjectSource:
    """One object of a bucket."""

    client: GuardedClient
    bucket: Bucket
    url: URL

    async def open(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Ask for the object; each attempt is signed anew, because signatures expire."""
        response = await self.client.get(
            self.url, headers, self.bucket.sign(self.url), follow_redirects=False
        )
        try:
            await self._check(response)
        except BaseException:
            response.close()
            raise
        return response

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        region = response.headers.get("x-amz-bucket-region", "")
        if response.status in (301, 307, 400) and region != self.bucket.region and _REGION.fullmatch(region):
            raise FetchError(
                FetchReason.DOWNLOAD_FAILED,
                f"the bucket is in region {region}; set AWS_REGION to it in the credentials Secret",
            )
        if response.status < 300 or response.status == 416:
            check_status(response, "s3", authenticated=True)
            return
        found = _ERROR_CODE.search(await read_document(response))
        code = found[1].decode() if found else ""
        if code in _UNKNOWN_KEY_CODES:
            raise FetchError(
                FetchReason.ACCESS_DENIED,
                f"the store does not know the access key ({code}); "
                "correct AWS_ACCESS_KEY_ID in the credentials Secret",
            )
        if response.status == 403 and self.bucket.key is None:
            raise credentials_missing(
                "the bucket denies anonymous access; name a Secret with AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY in spec.model.credentials.secretName, and check the model URI"
            )
        subject = f"{self.url.host}{self.url.raw_path}"
        check_status(response, subject, authenticated=self.bucket.key is not None, detail=code)


@dataclass(frozen=True)
class ListedObject:
    """An object directly below a prefix."""

    key: str
    name: str
    size_bytes: int


async def fetch_s3(
    uri: S3Uri, sha256: str | None, client: GuardedClient, credentials: Credentials, transfer: Transfer
) -> list[StoredFile]:
    """Fetch one object as ``model.onnx``, or all objects directly below a prefix under their own names.

    Raises:
        FetchError: with the reason.

    """
    bucket = build_bucket(uri.bucket, credentials)
    if bucket.base_url.startswith("http://") and (sha256 is None or uri.is_prefix):
        raise invalid_uri(
            "the S3 endpoint speaks plain http, where anyone on the way can change the model; name a single "
            "object and add spec.model.sha256, or use an https:// endpoint"
        )
    if not uri.is_prefix:
        source = ObjectSource(client, bucket, bucket.build_url(uri.key))
        return [await transfer.store(source, Expected(MODEL_FILE, sha256))]
    listing = ObjectSource(client, bucket, bucket.build_url("", list_query(uri.key)))
    objects = parse_listing(await retried(lambda: _read(listing), transfer.limits), uri.key)
    model = choose_model([item.name for item in objects], "name one of them in the URI")
    stored = []
    for item in sorted(objects, key=lambda item: item.name == model):
        is_model = item.name == model
        expected = Expected(item.name, sha256 if is_model else None, item.size_bytes, is_model)
        stored.append(
            await transfer.store(ObjectSource(client, bucket, bucket.build_url(item.key)), expected)
        )
    return stored


def build_bucket(name: str, credentials: Credentials) -> Bucket:
    """Where and how to reach the bucket ``name``.

    Custom endpoints get path-style addresses unless AWS_S3_ADDRESSING_STYLE says ``virtual``; AWS
    itself the bucket in the host name, except for names with dots, which no certificate covers.

    Raises:
        FetchError: ``CredentialsMissing`` for half a key, ``InvalidUri`` for a bad endpoint or region.

    """
    pair = credentials.pair("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    key = SigningKey(*pair, token=credentials.first("AWS_SESSION_TOKEN")) if pair else None
    region = credentials.first("AWS_REGION", "AWS_DEFAULT_REGION") or _DEFAULT_REGION
    if _REGION.fullmatch(region) is None:
        raise invalid_uri("AWS_REGION in the credentials Secret is not a region, as in us-east-1")
    endpoint = credentials.first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "endpoint")
    style = credentials.first("AWS_S3_ADDRESSING_STYLE") or ("path" if endpoint or "." in name else "virtual")
    if style not in ("path", "virtual"):
        raise invalid_uri("AWS_S3_ADDRESSING_STYLE in the credentials Secret must be path or virtual")
    scheme, host = _parse_endpoint(endpoint or f"https://s3.{region}.amazonaws.com")
    base = f"{scheme}://{host}/{name}" if style == "path" else f"{scheme}://{name}.{host}"
    return Bucket(base, region, key)


def list_query(prefix: str) -> str:
    """The query of a ListObjectsV2 request; its parameters are sorted, as the signature needs them."""
    return f"?delimiter=%2F&list-type=2&max-keys={MAX_FILES + 1}&prefix={quote(prefix, safe='~')}"


def parse_listing(body: bytes, prefix: str) -> list[ListedObject]:
    """Read a ListObjectsV2 answer.

    Raises:
        FetchError: ``ModelNotFound`` for an empty prefix, ``ArchiveRefused`` for unusable names,
            ``DownloadFailed`` for anything that is not a listing.

    """
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED, "the store's listing defines XML entities; it is not S3"
        )
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - no document type, no entities, at most 4 MiB
        entries = [_parse_entry(entry, prefix) for entry in root.iterfind(f"{_NAMESPACE}Contents")]
    except (ElementTree.ParseError, ValueError) as error:
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED, "the store's listing cannot be read; it is not S3"
        ) from error
    objects = [entry for entry in entries if entry is not None]
    if not objects:
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND, f"no objects directly below {prefix}; check spec.model.storageUri"
        )
    if len(objects) > MAX_FILES:
        raise FetchError(
            FetchReason.ARCHIVE_REFUSED,
            f"more than {MAX_FILES} objects below {prefix}; give the model its own prefix",
        )
    folders = len(root.findall(f"{_NAMESPACE}CommonPrefixes"))
    if folders:
        log("deeper prefixes are left out", {"prefix": prefix, "count": folders})
    return objects


def _parse_entry(entry: ElementTree.Element, prefix: str) -> ListedObject | None:
    key = entry.findtext(f"{_NAMESPACE}Key", "")
    size = int(entry.findtext(f"{_NAMESPACE}Size", ""))
    if not key.startswith(prefix):
        raise ValueError("a key outside the prefix")
    if key == prefix:  # the placeholder that consoles create for a "folder"
        return None
    name = clean_path(key.removeprefix(prefix))
    return ListedObject(key, name, size) if name and "/" not in name else None


def _parse_endpoint(endpoint: str) -> tuple[str, str]:
    try:
        url = URL(endpoint)
        usable = (
            url.scheme in ("https", "http")
            and url.host
            and not url.user
            and url.path == "/"
            and not url.query
        )
    except ValueError:
        usable = False
    if not usable:
        raise invalid_uri(
            "the S3 endpoint in the credentials Secret must be https://host[:port] or http://host[:port]"
        )
    return url.scheme, url.authority


async def _read(source: ObjectSource) -> bytes:
    return await read_document(await source.open({}))
