"""Reads credentials from a directory of files: a mounted Secret.

Only known keys are read, so a Secret that also holds other things does no harm.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelservice_runtime.fetch.errors import FetchError, FetchReason

# Kubernetes' own types of Secrets: kubernetes.io/dockerconfigjson, dockercfg and basic-auth.
REGISTRY_KEYS = (".dockerconfigjson", "config.json", ".dockercfg")
WEB_KEYS = ("username", "password", "token")
# The names the AWS SDKs read; `endpoint` is short for AWS_ENDPOINT_URL.
S3_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_S3_ADDRESSING_STYLE",
    "endpoint",
)
# A service account's key as Google Cloud gives it, under the names that tools give the file.
GCS_ACCOUNT_KEYS = ("key.json", "GOOGLE_SERVICE_ACCOUNT_KEY", "gcloud-application-credentials.json")
GCS_KEYS = (*GCS_ACCOUNT_KEYS, "GOOGLE_BASE_URL")
# The names that Azure's command line and its SDKs read.
_AZURE_SECRET_KEYS = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET")
AZURE_KEYS = (
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    *_AZURE_SECRET_KEYS,
)
# What the Hub's own client reads: the second is the older name of the first.
HUB_TOKEN_KEYS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
HUB_ENDPOINT_KEY = "HF_ENDPOINT"
CA_KEY = "ca.crt"
KNOWN_KEYS = (
    *REGISTRY_KEYS,
    *WEB_KEYS,
    *S3_KEYS,
    *GCS_KEYS,
    *AZURE_KEYS,
    *HUB_TOKEN_KEYS,
    HUB_ENDPOINT_KEY,
    CA_KEY,
)
_SECRET_KEYS = (
    "password",
    "token",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    *REGISTRY_KEYS,
    *GCS_ACCOUNT_KEYS,
    *_AZURE_SECRET_KEYS,
    *HUB_TOKEN_KEYS,
)
_MAX_VALUE_BYTES = 1024 * 1024  # Kubernetes' own limit for a Secret


@dataclass(frozen=True)
class Credentials:
    """What the mounted Secret holds.

    Attributes:
        values: known keys to their text, without the line break at the end.

    """

    values: Mapping[str, str] = field(default_factory=dict)

    def first(self, *keys: str) -> str | None:
        """The first non-empty value among `keys`."""
        return next((self.values[key] for key in keys if self.values.get(key)), None)

    def pair(self, first: str, second: str) -> tuple[str, str] | None:
        """Two values that only make sense together, or None where neither is there.

        Raises:
            FetchError: `CredentialsMissing` where only one is there.

        """
        values = self.first(first), self.first(second)
        if values[0] is not None and values[1] is not None:
            return values[0], values[1]
        if values == (None, None):
            return None
        missing = second if values[0] else first
        raise credentials_missing(
            f"the credentials Secret lacks the key {missing}; it needs {first} and {second}"
        )

    @property
    def secrets(self) -> list[str]:
        """Values that must never be shown."""
        return [self.values[key] for key in _SECRET_KEYS if key in self.values]


def credentials_missing(message: str) -> FetchError:
    """The failure of absent or incomplete credentials."""
    return FetchError(FetchReason.CREDENTIALS_MISSING, message)


def basic_authorization(username: str, password: str) -> str:
    """The value of an Authorization header of the scheme Basic, in UTF-8 (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def read_credentials(directory: Path | None) -> Credentials:
    """Read the known keys from `directory`; None means anonymous access.

    Raises:
        FetchError: `CredentialsMissing` where the directory has none of the known keys.

    """
    if directory is None:
        return Credentials()
    values = {key: value for key in KNOWN_KEYS if (value := _read_value(directory / key)) is not None}
    if not values:
        raise credentials_missing(
            f"the credentials Secret has none of the known keys: {', '.join(KNOWN_KEYS)}"
        )
    return Credentials(values)


def build_ssl_context(credentials: Credentials) -> ssl.SSLContext:
    """TLS settings for clients: the system's authorities plus those of `ca.crt`.

    Raises:
        FetchError: `CredentialsMissing` where `ca.crt` is not PEM.

    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authorities = credentials.first(CA_KEY)
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities)
        except (ssl.SSLError, ValueError) as error:
            raise credentials_missing(
                f"{CA_KEY} in the credentials Secret is not a PEM certificate"
            ) from error
    return context


def _read_value(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_VALUE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise credentials_missing(
            f"cannot read {path.name} of the credentials Secret: {error.strerror}"
        ) from error
    if len(data) > _MAX_VALUE_BYTES:
        raise credentials_missing(f"{path.name} of the credentials Secret is larger than 1 MiB")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise credentials_missing(f"{path.name} of the credentials Secret is not UTF-8 text") from error
