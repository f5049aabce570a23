"""Which rights were used, and which were missed: rules of RBAC beside an API server's audit log. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Object = dict[str, Any]
CREATED = 201


class Right(NamedTuple):
    """One verb on one resource, or on one object of it."""

    group: str
    resource: str
    """With its subresource: `modelservices/status`."""
    verb: str
    name: str = ""
    """Of the only object that it holds for; empty for all."""

    def __str__(self) -> str:
        place = f"{self.resource}.{self.group}".removesuffix(".")
        return f"{self.verb} {place}" + (f" {self.name}" if self.name else "")


def granted(rules: Iterable[Object]) -> set[Right]:
    """Return what the rules of a Role or ClusterRole grant, one by one."""
    return {
        Right(group, resource, verb, name)
        for rule in rules
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def account_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return namespace and name of the service account that asked."""
    namespace, _, name = event["user"]["username"].removeprefix("system:serviceaccount:").partition(":")
    return namespace, name


def used(events: Iterable[Object]) -> set[Right]:
    """Return the rights that these requests took, each for all objects and for the one that was asked for."""
    return {
        right
        for event in events
        if "objectRef" in event and not is_forbidden(event)
        for one in _asked(event)
        for right in (one, one._replace(name=""))
    }


def unused(rules: Iterable[Object], events: Iterable[Object]) -> set[Right]:
    """Return what is granted and was never taken."""
    return granted(rules) - used(events)


def missed(events: Iterable[Object]) -> list[str]:
    """Return a sentence for each right that was asked for and is not granted."""
    return sorted({_describe(event) for event in events if is_forbidden(event)})


def is_forbidden(event: Mapping[str, Any]) -> bool:
    """Whether it was refused for lack of a right: admission refuses with 403 as well."""
    return event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"


def _asked(event: Mapping[str, Any]) -> Iterator[Right]:
    target = event["objectRef"]
    resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
    right = Right(target.get("apiGroup", ""), resource, event["verb"], target.get("name", ""))
    yield right
    # An apply that makes the object is authorised as `create` too, of which nothing is noted.
    if right.verb == "patch" and event.get("responseStatus", {}).get("code") == CREATED:
        yield right._replace(verb="create")


def _describe(event: Mapping[str, Any]) -> str:
    asked = ", ".join(map(str, _asked(event))) if "objectRef" in event else event["verb"]
    return f"{'/'.join(account_of(event))} may not {asked} ({event['requestURI'].partition('?')[0]})"


def by_account(events: Iterable[Object], accounts: Sequence[tuple[str, str]]) -> list[Object]:
    """Return the requests of these accounts, each given by namespace and name."""
    wanted = set(accounts)
    return [event for event in events if account_of(event) in wanted]
