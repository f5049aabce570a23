"""Manifests of the demo: the committed ones with real images, a real URI and a digest. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_IMAGE_FIELDS = frozenset({"image", "gpuImage"})


def replace_images(text: str, images: Mapping[str, str]) -> str:
    """Replace images in a stream of YAML documents: repository as written -> whole new reference.

    Raises:
        ValueError: an image of the mapping does not occur, so the manifest is not the expected one.

    """
    used: set[str] = set()
    documents = [_replace(document, images, used) for document in yaml.safe_load_all(text) if document]
    missing = sorted(set(images) - used)
    if missing:
        raise ValueError(f"no document has an image {' or '.join(missing)}; run `make generate`")
    return yaml.safe_dump_all(documents, sort_keys=False)


def _replace(value: Any, images: Mapping[str, str], used: set[str]) -> Any:
    if isinstance(value, list):
        return [_replace(item, images, used) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _replace_field(key, item, images, used) for key, item in value.items()}


def _replace_field(key: str, value: Any, images: Mapping[str, str], used: set[str]) -> Any:
    if key not in _IMAGE_FIELDS or not isinstance(value, str):
        return _replace(value, images, used)
    repository = image_repository(value)
    if repository not in images:
        return value
    used.add(repository)
    return images[repository]


def image_repository(reference: str) -> str:
    """Return an image reference without tag and digest; a registry's port is no tag."""
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


def build_model_service(text: str, storage_uri: str, sha256: str) -> str:
    """Return the committed ModelService with the real URI and the digest of the model file."""
    document = yaml.safe_load(text)
    document["spec"]["model"] |= {"storageUri": storage_uri, "sha256": sha256}
    return yaml.safe_dump(document, sort_keys=False)


def find_names(text: str, kind: str) -> Iterator[str]:
    """Yield metadata.name of every document of a kind."""
    for document in yaml.safe_load_all(text):
        if document and document["kind"] == kind:
            yield document["metadata"]["name"]
