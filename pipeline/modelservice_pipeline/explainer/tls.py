"""TLS of the explainer: its certificate, read again when its files change, and whom it trusts as the model.

Both have one Secret: the model's server shows the certificate that the explainer shows. So the explainer
knows it, also where no authority has signed it, and needs no other file to trust it.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.tls_files import TlsFiles

log = logging.getLogger(__name__)

_INTERVAL_SECONDS = 5.0
"""A volume swaps its files by a link above them, which no notification tells; the kubelet needs a minute."""
_BEGIN = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Files:
    """PEM files: the certificate with its chain, its key, and its authority (the file may be absent)."""

    certificate: Path
    key: Path
    authority: Path

    def to_ask_with(self) -> TlsFiles:
        """Return what the model is asked with: its certificate, and its authority's if there is one.

        With the authority the two may have different certificates for a while, when the Secret changes.
        Some issuers write an empty one.
        """
        has_authority = self.authority.is_file() and _BEGIN in self.authority.read_bytes()
        return TlsFiles(self.authority if has_authority else None, server=self.certificate)

    def read(self) -> tuple[bytes, bytes]:
        """Return certificate and key. Raises OSError."""
        return self.certificate.read_bytes(), self.key.read_bytes()


class ServerTls:
    """The context for handshakes; connections keep the certificate with which they began.

    Raises PipelineError where the files cannot be used.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= (
            ssl.OP_NO_RENEGOTIATION
        )  # a client could make it compute key exchanges for ever
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen: tuple[bytes, bytes] | None = None
        self.reload()

    def reload(self) -> None:
        """Read the files again if they changed. Raises PipelineError; the old certificate stays then."""
        try:
            found = self._files.read()
            if found == self._seen:
                return
            self._seen = found
            # Tried apart: of a pair that does not fit, the context would keep one half.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(self._files.certificate, self._files.key, password=_refuse_password)
        except OSError as error:  # of which ssl's own errors are a kind
            name, reason = self._files.certificate, error.strerror or error
            raise PipelineError(f"cannot use the certificate {name} with its key: {reason}") from None

    async def follow(self) -> None:
        """Reload for ever; what cannot be used is logged once."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            try:
                self.reload()
            except PipelineError as error:
                log.error("%s; the old one stays", error)


def _refuse_password() -> str:
    raise PipelineError("the key of the certificate is encrypted: store it without a passphrase")
