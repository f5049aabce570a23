"""What an artifact holds, for people and programs: the facts of `inspect`, `package`, `push` and `diff`."""

import math
from dataclasses import dataclass
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import Content
from modelservice_pipeline.package.files import find_model, image_labels, layer_path, name_layers, read_config
from modelservice_pipeline.package.folder import CARD_FILE
from modelservice_pipeline.package.front_matter import split_card
from modelservice_pipeline.package.modelpack import ARTIFACT_TYPE, CONFIG_TYPE
from modelservice_pipeline.report.report import table

_MAX_CARD_BYTES = 1 << 20
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True)
class Summary:
    """Facts, as JSON can say them."""

    facts: dict[str, Any]

    def sections(self) -> list[str]:
        """Return them in Markdown."""
        facts = self.facts
        model = facts["model"] or {"path": "not known", "sha256": "not known"}
        rows = [
            ("kind", facts["kind"]),
            ("digest", facts["digest"]),
            ("size", format_size(facts["sizeBytes"])),
            ("model", model["path"]),
            ("sha256", model["sha256"]),
            *((name, words(value)) for name, value in facts["description"].items()),
        ]
        files = [
            (one["path"] or one["digest"][:19], words(one["mediaType"]), format_size(one["sizeBytes"]))
            for one in facts["files"]
        ]
        return [table(("what", ""), rows), table(("file", "media type", "size"), files)]


def summarise(content: Content) -> Summary:
    """Return what the manifest and its small documents say; no weights are read. Raises PipelineError."""
    try:
        found = find_model(content)
        model: dict[str, Any] | None = {"path": found.path, "sha256": found.sha256}
    except PipelineError:
        model = None
    name_layers(content)  # raises where it is not clear which layer a file is
    layers = content.layers
    return Summary(
        {
            "kind": kind_of(content),
            "digest": content.root.digest,
            "sizeBytes": sum(layer.size_bytes for layer in layers),
            "model": model,
            "description": _describe(content),
            "card": read_card(content),
            "platforms": _platforms(content),
            "annotations": content.manifest.get("annotations") or {},
            "files": [
                {
                    "path": layer_path(layer),
                    "mediaType": layer.media_type,
                    "digest": layer.digest,
                    "sizeBytes": layer.size_bytes,
                }
                for layer in layers
            ],
        }
    )


def kind_of(content: Content) -> str:
    """Return what sort of thing it is, in one word."""
    manifest = content.manifest
    if manifest.get("artifactType") == ARTIFACT_TYPE or manifest["config"].get("mediaType") == CONFIG_TYPE:
        return "modelpack"
    return "image" if "rootfs" in read_config(content) else "artifact"


def read_card(content: Content) -> dict[str, Any]:
    """Return the metadata of the card in an artifact; empty where there is none."""
    for layer in content.layers:
        if layer_path(layer) == CARD_FILE and layer.size_bytes <= _MAX_CARD_BYTES:
            text = b"".join(layer.read()).decode(errors="replace")
            try:
                found = as_json(split_card(text)[0])
            except PipelineError:  # somebody else's words, which are not what was asked for
                return {}
            assert isinstance(found, dict)
            return found
    return {}


def as_json(value: object) -> Any:
    """Return what YAML read as JSON can say it: dates and numbers that JSON does not know become text."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def format_size(size_bytes: int) -> str:
    """Return a size as people read it."""
    for scale, unit in _UNITS:
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes} B"


def words(value: object) -> str:
    """Return a value in one line, without what terminals would act on."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(character if character.isprintable() else " " for character in text)


def _describe(content: Content) -> dict[str, Any]:
    config = read_config(content)
    parts = [config.get("descriptor"), config.get("config")] if "modelfs" in config else []
    found = {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
    return found or dict(image_labels(content))


def _platforms(content: Content) -> list[str]:
    entries = content.root.parse().get("manifests") or ()
    platforms = [entry.get("platform") for entry in entries if isinstance(entry, dict)]
    return [f"{one.get('os')}/{one.get('architecture')}" for one in platforms if isinstance(one, dict)]
