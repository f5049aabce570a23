"""The files by which client and server know each other; imported whenever a command line is parsed."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TlsFiles:
    """What a client needs beside the system's authorities: PEM files.

    Attributes:
        ca: Authorities that are trusted instead of the system's.
        certificate: The client's own, with its key in `key` or in the same file.
        key: Not encrypted.
        verifies: Whether the server's certificate counts.
        server: The server's own certificate, which is trusted as it is, whoever signed it; the system's
            authorities are not.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verifies: bool = True
    server: Path | None = None
