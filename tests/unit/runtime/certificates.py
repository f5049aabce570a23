"""An authority for tests, made in the process, and the files a server reads."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelservice_runtime.settings.security import TlsSettings

PRIVATE_FORMAT = serialization.PrivateFormat.PKCS8
DAY = timedelta(days=1)


@dataclass
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            path.write_bytes(content)
        return paths


class Authority:
    """Signs certificates for 127.0.0.1 and for clients."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key)
        certificate = builder.add_extension(x509.BasicConstraints(True, None), True)
        self.certificate = _pem(certificate.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, *hosts: str) -> Pair:
        """A certificate for a server on 127.0.0.1 that is called by these names too, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, hosts)]
        alternatives = x509.SubjectAlternativeName(names)
        builder = self._builder(subject, key).add_extension(alternatives, False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pem = key.private_bytes(serialization.Encoding.PEM, PRIVATE_FORMAT, serialization.NoEncryption())
        return Pair(_pem(certificate), pem)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def encrypt_key(pair: Pair) -> bytes:
    key = serialization.load_pem_private_key(pair.key, None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    return key.private_bytes(serialization.Encoding.PEM, PRIVATE_FORMAT, encryption)


def write_server(directory: Path, pair: Pair, client_ca: Authority | None = None) -> TlsSettings:
    """Write the files of a server, or replace them."""
    certificate, key = pair.write(directory, "server")
    if client_ca is None:
        return TlsSettings(certificate, key)
    (directory / "ca.pem").write_bytes(client_ca.certificate)
    return TlsSettings(certificate, key, directory / "ca.pem")


def client_context(authority: Authority, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
