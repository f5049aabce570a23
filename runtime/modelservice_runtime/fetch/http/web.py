"""Fetches a model from a web server: `https://`, and `http://` where a digest pins the content."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from modelservice_runtime.fetch.credentials import Credentials, basic_authorization
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files.bundle import Located, NamedSource, store_model
from modelservice_runtime.fetch.files.destination import StoredFile
from modelservice_runtime.fetch.files.transfer import Answer, Expected, Transfer, Wanted
from modelservice_runtime.fetch.http.answer import build_range_headers, read_answer
from modelservice_runtime.fetch.http.client import GuardedClient, check_status
from modelservice_runtime.fetch.names import MODEL_FILE, describe_need, plain_path
from modelservice_runtime.fetch.redaction import redact_url
from modelservice_runtime.fetch.uri import WebUri, invalid_uri


@dataclass(frozen=True)
class WebSource:
    """A URL with the headers that authorize its reader."""

    client: GuardedClient
    url: URL
    secret_headers: Mapping[str, str]

    async def open(self, wanted: Wanted) -> Answer:
        """Ask for the file."""
        response = await self.client.get(self.url, build_range_headers(wanted), self.secret_headers)
        try:
            check_status(response, redact_url(str(self.url)), authenticated=bool(self.secret_headers))
        except BaseException:
            response.close()
            raise
        return read_answer(response)


async def fetch_web(
    uri: WebUri, sha256: str | None, client: GuardedClient, credentials: Credentials, transfer: Transfer
) -> list[StoredFile]:
    """Fetch the file as `model.onnx`, and the files that it names from beside it.

    Raises:
        FetchError: with the reason.

    """
    secret_headers = build_authorization(credentials)
    if uri.url.scheme == "http":
        if sha256 is None:
            raise invalid_uri(
                "http:// is allowed only together with spec.model.sha256; add it or use https://"
            )
        if secret_headers:
            raise FetchError(
                FetchReason.ACCESS_DENIED,
                "credentials are never sent over plain http; use https:// in the model URI",
            )

    async def locate(location: str) -> Located:
        url = build_companion_url(uri.url, location)
        named = NamedSource(
            WebSource(client, url, secret_headers), redact_url(str(uri.url)), redact_url(str(url))
        )
        return Located(named, Expected(location, is_model=False))

    source, name = WebSource(client, uri.url, secret_headers), redact_url(str(uri.url.with_query(None)))
    return await store_model(transfer, Located(source, Expected(MODEL_FILE, sha256)), name, locate)


def build_companion_url(model: URL, location: str) -> URL:
    """The URL of a file beside a model.

    Raises:
        FetchError: `InvalidUri` where nothing pins the file, or a signature is good for the model alone.

    """
    if model.scheme == "http":
        raise invalid_uri(
            f"{describe_need('the model', location)}, which nothing pins over plain http; use https://"
        )
    if model.raw_query_string:
        raise invalid_uri(
            f"{describe_need('the model', location)}, and a URL with a query names the model alone; "
            "use s3:// or oci://, or a URL without a query"
        )
    suffix = model.path[len(plain_path(model.path)) :]
    return model.join(URL(quote(location + suffix), encoded=True))


def build_authorization(credentials: Credentials) -> dict[str, str]:
    """The Authorization header of the keys `token`, or `username` and `password`."""
    token = credentials.first("token")
    if token:
        return {"Authorization": f"Bearer {token}"}
    pair = credentials.pair("username", "password")
    return {"Authorization": basic_authorization(*pair)} if pair else {}
