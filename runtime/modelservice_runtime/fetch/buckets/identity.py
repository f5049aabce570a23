"""The workload identity that a cluster gave this pod: what its environment says, and what it needs to reach.

Amazon EKS sets the variables in pods whose service account has a role: a role with a web identity token
(https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html), or the Pod Identity
agent of the node (https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html). Google's GKE sets
nothing: its metadata server answers every pod, so it is asked only where that is wanted
(https://docs.cloud.google.com/kubernetes-engine/docs/concepts/workload-identity). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from modelservice_runtime.fetch.buckets.proxy import Endpoint

_GOOGLE_METADATA = frozenset({Endpoint("metadata.google.internal", 80), Endpoint("169.254.169.254", 80)})


@dataclass(frozen=True)
class Identity:
    """Who this pod is for a cloud.

    Attributes:
        name: for messages: the role, or the agent.
        settings: what the library has to know.
        services: addresses of its credentials that no address check may refuse.

    """

    name: str
    settings: Mapping[str, str]
    services: frozenset[Endpoint] = field(default_factory=frozenset)


def find_aws_identity(environment: Mapping[str, str]) -> Identity | None:
    """Read the variables that Amazon's SDKs read; a web identity comes before the agent, as for them."""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    common = {"region": region} if region else {}
    role, token = environment.get("AWS_ROLE_ARN"), environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if role and token:
        settings = {"role_arn": role, "web_identity_token_file": token, **common}
        session, sts = environment.get("AWS_ROLE_SESSION_NAME"), environment.get("AWS_ENDPOINT_URL_STS")
        settings |= {"role_session_name": session} if session else {}
        settings |= {"aws_endpoint_url_sts": sts} if sts else {}
        return Identity(role, settings)
    agent = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    endpoint = _parse_endpoint(agent) if agent else None
    if agent and token and endpoint:
        settings = {
            "container_credentials_full_uri": agent,
            "container_authorization_token_file": token,
            **common,
        }
        return Identity(f"the Pod Identity agent at {endpoint.host}", settings, frozenset({endpoint}))
    return None


def find_google_identity(environment: Mapping[str, str], *, wanted: bool) -> Identity | None:
    """The metadata server, under its name, its address, or the one that the environment names."""
    if not wanted:
        return None
    named = environment.get("GCE_METADATA_HOST")
    endpoint = _parse_endpoint(f"http://{named}") if named else None
    services = frozenset({endpoint}) if endpoint else _GOOGLE_METADATA
    return Identity("the service account, from Google's metadata server", {}, services)


def find_azure_identity(environment: Mapping[str, str]) -> Identity | None:
    """Read what Azure Workload Identity sets (https://azure.github.io/azure-workload-identity/docs/)."""
    names = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
    client, tenant, token = (environment.get(name) for name in names)
    if not client or not tenant or not token:
        return None
    settings = {"client_id": client, "tenant_id": tenant, "federated_token_file": token}
    authority = environment.get("AZURE_AUTHORITY_HOST", "").rstrip("/")
    return Identity(f"the client {client}", settings | ({"authority_host": authority} if authority else {}))


def _parse_endpoint(url: str) -> Endpoint | None:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return Endpoint(parts.hostname, port) if parts.hostname else None
