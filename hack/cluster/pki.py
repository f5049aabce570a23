"""Keys and certificates of one cluster, made new at each start.

Users and groups are what Kubernetes' RBAC defaults expect
(https://kubernetes.io/docs/setup/best-practices/certificates/).
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
# A container or virtual machine may have a clock that is a little behind ours.
BACKDATED = datetime.timedelta(hours=1)

_API_SERVER_NAMES = (
    "127.0.0.1",
    "10.0.0.1",
    "10.96.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Identity:
    """The subject of a client certificate (user, groups) or server certificate (DNS names and addresses)."""

    file_name: str
    common_name: str
    organization: str = ""
    server_names: Sequence[str] = ()
    authority: str = "ca"


IDENTITIES = (
    Identity("apiserver", "kube-apiserver", server_names=_API_SERVER_NAMES),
    Identity("admin", "admin", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("kwok", "kwok", "system:masters"),
    Identity("apiserver-kubelet-client", "apiserver-kubelet-client", "system:masters"),
    Identity("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
    Identity("kubelet", "system:node:node1", "system:nodes"),
    Identity("kubelet-server", "node1", server_names=("10.0.0.1", "127.0.0.1", "node1")),
)


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write_pki(directory: Path, now: datetime.datetime) -> None:
    """Write `NAME.crt` and `NAME.key` of both authorities and every identity, and the token-signing keys."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authorities = {name: _make_authority(name, now) for name in ("ca", "front-proxy-ca")}
    for name, authority in authorities.items():
        _write_pair(directory, name, authority.certificate, authority.key)
    for identity in IDENTITIES:
        key = ec.generate_private_key(ec.SECP256R1())
        _write_pair(
            directory, identity.file_name, _sign(identity, key, authorities[identity.authority], now), key
        )
    _write_service_account_keys(directory)


def _make_authority(name: str, now: datetime.datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _start_certificate(subject, subject, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Authority(certificate, key)


def _sign(
    identity: Identity, key: ec.EllipticCurvePrivateKey, authority: _Authority, now: datetime.datetime
) -> x509.Certificate:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)]
    if identity.organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organization))
    usage = ExtendedKeyUsageOID.SERVER_AUTH if identity.server_names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _start_certificate(x509.Name(attributes), authority.certificate.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if identity.server_names:
        names = [_general_name(name) for name in identity.server_names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _start_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_pair(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    (directory / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(directory / f"{name}.key", key)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _write_service_account_keys(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(directory / "service-account.key", key)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (directory / "service-account.pub").write_bytes(public)
