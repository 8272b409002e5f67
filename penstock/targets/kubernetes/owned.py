"""Objects of a cluster that are a function's own, told from those that only have its name."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.api import Api, Object


def ours(api: Api, kind: str, name: str, function: str) -> Object | None:
    """An object of a function; None where there is none. Raises TargetError where it is another's."""
    found = api.get(kind, name)
    if found is not None:
        check(api, kind, found, function)
    return found


def check(api: Api, kind: str, found: Object, function: str) -> None:
    """Raises TargetError where an object is not the function's."""
    if (whose := manifests.function_of(found)) == function:
        return
    of = "nobody that we know" if whose is None else f"the function {whose}"
    raise TargetError(
        f"the {kind} {found['metadata']['name']} in namespace {api.namespace} belongs to {of}, and {function} needs that name",
        next_step="name the function otherwise, or give it a namespace of its own",
    )


def annotation(found: Object, name: str) -> str:
    """One of an object's annotations; nothing where it has none of that name."""
    return str((found["metadata"].get("annotations") or {}).get(name, ""))


def label(found: Object, name: str) -> str:
    """One of an object's labels; nothing where it has none of that name."""
    return str((found["metadata"].get("labels") or {}).get(name, ""))


def oldest_first(found: Iterable[Object]) -> list[Object]:
    """Objects by their age."""
    return sorted(found, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]))
