"""What a platform that stands on Knative is told, and how its words are read: all that Knative and KServe do not do alike.

Every method is a pure function of objects as the API server gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.targets import TargetError
from penstock.targets.kubernetes.api import Object
from penstock.targets.kubernetes.manifests import Revision, Shape

#: An entry of a `traffic` list.
Traffic = Mapping[str, Any]
#: The Knative Revisions of one of ours, the oldest first, and what it gets of all requests, in percent.
Share = tuple[Sequence[Object], int]


class Platform(Protocol):
    """One object a function, of `kind`, which `kubectl` calls a `resource`; in pods the function is the container named `container`.

    `one_beside`: there can be but one revision beside the live one.
    """

    @property
    def title(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def container(self) -> str: ...
    @property
    def one_beside(self) -> bool: ...

    def keeper(self, function: str) -> str:
        """The name of the Service of Knative whose annotations keep what is live, as no Revision is made of these."""

    def put(self, now: Object | None, made: Revision, shape: Shape) -> Object:
        """The function's object with a revision that gets no traffic, if others are there to get it."""

    def undo(self, now: Object, before: Object, made: Revision, shape: Shape) -> Object:
        """The object without a revision that was put, once it was `before`."""

    def route(self, now: Object, shares: Sequence[Share], shape: Shape) -> Object:
        """The object whose traffic goes to these revisions of ours: to one, or to the live one and another that it can share with.

        Of a revision's Knative Revisions it goes to the one that was put last.
        """

    def shares(self, found: Object) -> object:
        """What of it says which share of the traffic each revision is to have, to be held against the same of another."""

    def can_share(self, now: Object, known: Sequence[Object]) -> bool:
        """Whether a share can be given to a revision of these Knative Revisions, beside the live one."""

    def proof(self, found: Object, made: Revision, shape: Shape) -> str | None:
        """The URL where a revision that was put is asked by itself; None until there is one."""

    def traffic(self, found: Object) -> Sequence[Traffic]:
        """Where requests go by now."""

    def newest(self, found: Object) -> str | None:
        """The Knative Revision that was made last."""


def all_to(traffic: Iterable[Traffic]) -> str | None:
    """The Knative Revision that gets all of the traffic; None where it is shared, or there is none."""
    return next((each.get("revisionName") for each in traffic if each.get("percent") == 100), None)


def settled(service: Object) -> Sequence[Traffic]:
    """Where requests go by a Service of Knative's, once all that it says is done; empty before."""
    status = service.get("status", {})
    seen = status.get("observedGeneration") == service["metadata"]["generation"]
    routed = condition(service, "RoutesReady").get("status") == "True"
    return list(status.get("traffic") or []) if seen and routed else []


def condition(found: Object, kind: str) -> Mapping[str, Any]:
    """One of the conditions that an object's status has; empty where it has it not."""
    conditions = found.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def absent(platform: Platform, name: str) -> TargetError:
    """What is said where a function is not there."""
    return TargetError(f"no function {name} on {platform.title}", next_step="deploy it first", status=404)
