"""What a platform that stands on Knative is told, and how its words are read: all that Knative and KServe do not do alike.

Every method is a pure function of objects as the API server gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from penstock.targets.kubernetes.api import Object
from penstock.targets.kubernetes.manifests import Revision, Shape

#: An entry of a `traffic` list.
Traffic = Mapping[str, Any]


class Platform(Protocol):
    """One object a function, of `kind`, which `kubectl` calls a `resource`; in pods the function is the container named `container`."""

    @property
    def title(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def container(self) -> str: ...

    def put(self, now: Object | None, made: Revision, shape: Shape) -> Object:
        """The function's object with a revision that gets no traffic, if others are there to get it."""

    def undo(self, now: Object, before: Object, made: Revision, shape: Shape) -> Object:
        """The object without a revision that was put, once it was `before`."""

    def route(self, now: Object, known: Sequence[Object], shape: Shape, since: str) -> Object:
        """The object whose traffic goes to a revision of ours: to that one of its `known` Knative Revisions, the oldest first,
        which was put last.
        """

    def proof(self, found: Object, made: Revision, shape: Shape) -> str | None:
        """The URL where a revision that was put is asked by itself; None until there is one."""

    def traffic(self, found: Object) -> Sequence[Traffic]:
        """Where requests go by now."""

    def live(self, found: Object) -> str | None:
        """The Knative Revision that is told to get all traffic; None where none was routed to."""

    def since(self, found: Object, revision: Object) -> str:
        """When the Knative Revision that is live became so (ISO)."""

    def newest(self, found: Object) -> str | None:
        """The Knative Revision that was made last."""


def all_to(traffic: Iterable[Traffic]) -> str | None:
    """The Knative Revision that gets all of the traffic; None where it is shared, or there is none."""
    return next((each.get("revisionName") for each in traffic if each.get("percent") == 100), None)
