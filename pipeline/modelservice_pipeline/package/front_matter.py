"""The metadata at the head of a model card: YAML between two lines of `---`.

https://huggingface.co/docs/hub/model-cards ("Model card metadata").
"""

from collections.abc import Mapping
from typing import Any

import yaml

from modelservice_pipeline.errors import PipelineError

_FENCE = "---"


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Return a card's metadata and the text below it. Raises PipelineError where it is no mapping."""
    lines = text.removeprefix("\ufeff").split("\n")
    ends = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(ends) < 2 or ends[0] != 0:
        return {}, text
    try:
        metadata = yaml.safe_load("\n".join(lines[1 : ends[1]]))
    except (yaml.YAMLError, ValueError) as error:
        where = " ".join(str(error).split())[:200]
        raise PipelineError(f"the metadata at the head of the card is not YAML: {where}") from None
    if metadata is not None and not isinstance(metadata, dict):
        raise PipelineError("the metadata at the head of the card: expected 'name: value' lines")
    return metadata or {}, "\n".join(lines[ends[1] + 1 :]).lstrip("\r\n")


def join_card(metadata: Mapping[str, Any], body: str) -> str:
    """Return a card; whatever stands in the values, the metadata is read as it was given."""
    head = _dump(metadata, allow_unicode=True)
    # Some characters are line ends to YAML's reader and not to its writer.
    if yaml.safe_load(head) != metadata:
        head = _dump(metadata, allow_unicode=False)
    return f"{_FENCE}\n{head}{_FENCE}\n\n{body.lstrip()}"


def _dump(metadata: Mapping[str, Any], *, allow_unicode: bool) -> str:
    return yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=allow_unicode, width=10_000)
