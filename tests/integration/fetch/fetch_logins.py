"""Who may ask the registries: passwords, and a token service."""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.integration.fetch.fetch_registries import RegistryStarter
from tests.integration.fetch.fetch_servers import TlsFiles

# bcrypt of "hunter22": docker-registry reads no other hash.
HTPASSWD = "anna:$2b$05$abcdefghijklmnopqrstuuZ6QNu0NKXZkZHC5hsQUItfxcGamvB8i\n"


def htpasswd_settings(starter: RegistryStarter) -> dict[str, object]:
    path = starter.directory / "htpasswd"
    path.write_text(HTPASSWD)
    return {"htpasswd": {"realm": "test", "path": str(path)}}


class TokenService:
    """A token service as the distribution specification describes it; signs what the registry trusts."""

    def __init__(self, tls: TlsFiles) -> None:
        key = serialization.load_pem_private_key(tls.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        certificate = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        self.password: str | None = None
        self.refresh_token: str | None = None

    async def __call__(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            return await self._refresh(request)
        expected = f"Basic {base64.b64encode(f'anna:{self.password}'.encode()).decode()}"
        if self.password and request.headers.get("Authorization") != expected:
            return web.Response(status=401)
        if self.refresh_token:
            return web.Response(status=401)
        return web.json_response({"token": self._grant(request.query)})

    async def _refresh(self, request: web.Request) -> web.Response:
        """OAuth 2 as the distribution project describes it; the answer is called differently."""
        form = await request.post()
        given = form["grant_type"], form["refresh_token"]
        if given != ("refresh_token", self.refresh_token) or not form["client_id"]:
            return web.Response(status=401)
        return web.json_response({"access_token": self._grant(form)})

    def _grant(self, asked: Mapping[str, Any]) -> str:
        kind, name, actions = asked["scope"].split(":")
        return self._sign(asked["service"], [{"type": kind, "name": name, "actions": actions.split(",")}])

    def _sign(self, service: str, access: list[dict[str, object]]) -> str:
        now = int(time.time())
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        claims = {
            "iss": "test-issuer",
            "sub": "anna",
            "aud": service,
            "exp": now + 300,
            "nbf": now - 300,
            "iat": now,
            "jti": "1",
            "access": access,
        }
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
