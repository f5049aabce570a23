"""What an artifact says of its model: name, version, licence. Times are left out, so bytes stay the same."""

from dataclasses import dataclass
from typing import Any

_PREFIX = "org.opencontainers.image."


@dataclass(frozen=True)
class Description:
    """Words for people; empty ones are not known.

    Attributes:
        name: What the model is called.
        version: Of the model.
        licence: An SPDX expression.
        summary: A sentence.
    """

    name: str = ""
    version: str = ""
    licence: str = ""
    summary: str = ""

    def descriptor(self) -> dict[str, Any]:
        """Return it as ModelPack's config has it."""
        said = {"name": self.name, "version": self.version, "description": self.summary}
        found: dict[str, Any] = {key: value for key, value in said.items() if value}
        return found | ({"licenses": [self.licence]} if self.licence else {})

    def annotations(self) -> dict[str, str]:
        """Return it as annotations of a manifest, by the names of the OCI image specification."""
        said = {
            "title": self.name,
            "version": self.version,
            "licenses": self.licence,
            "description": self.summary,
        }
        return {f"{_PREFIX}{key}": value for key, value in said.items() if value}
