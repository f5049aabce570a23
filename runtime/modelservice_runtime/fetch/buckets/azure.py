"""Azure Blob Storage: where a container is, who asks, and what its error codes mean."""

from collections.abc import Mapping
from typing import Any

from obstore.store import AzureStore
from yarl import URL

from modelservice_runtime.fetch.buckets.identity import Identity
from modelservice_runtime.fetch.buckets.object_store import Bucket, parse_endpoint
from modelservice_runtime.fetch.credentials import Credentials, credentials_missing
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.uri import invalid_uri

_PRINCIPAL_KEYS = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
# What anonymous readers of private containers are answered.
_PRIVATE_CODES = ("PublicAccessNotPermitted", "ResourceNotFound", "NoAuthenticationInformation")
_NO_ACCESS = (
    "the container denies anonymous access; name a Secret with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN "
    "in spec.model.credentials.secretName, or a service account with a workload identity in "
    "spec.serviceAccountName, and check the model URI"
)


def build_bucket(name: str, credentials: Credentials, identity: Identity | None) -> Bucket:
    """Where and how to reach the container `name`.

    The Secret comes first (an account's key, a shared access signature, a service principal), then the pod's
    identity, else requests are not signed.

    Raises:
        FetchError: `CredentialsMissing` without the storage account or for half a principal,
            `InvalidUri` for a bad endpoint.

    """
    account = credentials.first("AZURE_STORAGE_ACCOUNT")
    if account is None:
        raise credentials_missing(
            "az:// needs the name of the storage account: put it as AZURE_STORAGE_ACCOUNT into the Secret "
            "that spec.model.credentials.secretName names"
        )
    own = _read_access(credentials)
    identity = None if own else identity
    custom = credentials.first("AZURE_STORAGE_ENDPOINT")
    endpoint = _choose_endpoint(account, custom)
    sends_secret = bool(identity or (own and "account_key" not in own))
    if sends_secret and (endpoint.scheme != "https" or (custom and identity)):
        raise invalid_uri(
            "AZURE_STORAGE_ENDPOINT in the credentials Secret would be sent a token or signature; remove it, "
            "or use AZURE_STORAGE_KEY, which is never sent"
        )
    config = own or (dict(identity.settings) if identity else {"skip_signature": True})

    def open_store(endpoint: str, options: Mapping[str, Any]) -> AzureStore:
        settings: Any = {**config, "account_name": account, "endpoint": endpoint}
        client_options: Any = options
        return AzureStore(
            name, config=settings, client_options=client_options, retry_config={"max_retries": 0}
        )

    return Bucket("az", name, endpoint, open_store, explain_error, identity, bool(own or identity))


def explain_error(status: int, code: str, _text: str, signed: bool) -> FetchError | None:
    """The failure that an answer of the store means; None where its status says enough."""
    if code == "ContainerNotFound":
        return FetchError(
            FetchReason.MODEL_NOT_FOUND,
            "the container does not exist; check spec.model.storageUri and AZURE_STORAGE_ACCOUNT",
        )
    if not signed and (status in (401, 403) or code in _PRIVATE_CODES):
        return FetchError(FetchReason.CREDENTIALS_MISSING, _NO_ACCESS)
    return None


def _choose_endpoint(account: str, custom: str | None) -> URL:
    if custom:
        return parse_endpoint(custom, "AZURE_STORAGE_ENDPOINT", with_path=True)
    if not account.isascii() or not account.isalnum():
        raise invalid_uri(
            "AZURE_STORAGE_ACCOUNT in the credentials Secret is not the name of a storage account"
        )
    return URL(f"https://{account}.blob.core.windows.net")


def _read_access(credentials: Credentials) -> dict[str, Any]:
    """What the Secret opens the container with; nothing where it has nothing of the kind."""
    if key := credentials.first("AZURE_STORAGE_KEY"):
        return {"account_key": key}
    if token := credentials.first("AZURE_STORAGE_SAS_TOKEN"):
        return {"sas_key": token.removeprefix("?")}
    values = {key: credentials.first(key) for key in _PRINCIPAL_KEYS}
    if not values["AZURE_CLIENT_SECRET"]:
        return {}
    missing = [key for key, value in values.items() if not value]
    if missing:
        raise credentials_missing(
            f"the credentials Secret lacks {' and '.join(missing)}; it needs {', '.join(_PRINCIPAL_KEYS)}"
        )
    return dict(zip(("tenant_id", "client_id", "client_secret"), values.values(), strict=True))
