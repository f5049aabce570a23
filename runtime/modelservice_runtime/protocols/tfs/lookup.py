"""Which versions of a model a request means: by number, by label, or the default; pure."""

from modelservice_runtime.errors import NotFoundError
from modelservice_runtime.models.repository import IndexEntry, ModelHandle, ModelTable


def find_handle(table: ModelTable, model: str, version: str | None, label: str | None) -> ModelHandle:
    """Return what answers for a model. Raises NotFoundError and ModelUnavailableError."""
    if label is not None:
        return table.find_label(model, label)
    return table.find(model, _wanted(table, model, version))


def find_entries(table: ModelTable, model: str, version: str | None, label: str | None) -> list[IndexEntry]:
    """The versions asked for, whatever their state. Raises NotFoundError."""
    if label is not None:
        version = table.find_label(model, label).spec.version
    version = _wanted(table, model, version)
    known = table.entries(model)
    entries = [entry for entry in known if version in (None, entry.version)]
    if not entries:
        what = f"version {version[:100]!r} of it" if known and version else repr(model[:100])
        raise NotFoundError(f"no status: the server has no {what}")
    return entries


def _wanted(table: ModelTable, model: str, version: str | None) -> str | None:
    """OpenVINO Model Server and its client write 0 for none; here it may also be a version's number."""
    if version == "0" and all(entry.version != version for entry in table.entries(model)):
        return None
    return version
