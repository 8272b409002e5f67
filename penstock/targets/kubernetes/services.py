"""The live name of a function: a Service, and where callers come by a Gateway an HTTPRoute that leads to it.

The Service alone says what is live and how a rollout is, in one write; the HTTPRoute follows from it.
"""

from __future__ import annotations

from penstock.targets import TargetError
from penstock.targets.asking import crowded, tries
from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.api import CONFLICT, Api, Object, UnknownKind, is_unknown
from penstock.targets.kubernetes.live import PATIENCE, LiveNames, watch_of
from penstock.targets.kubernetes.manifests import Live
from penstock.targets.kubernetes.owned import ours
from penstock.targets.kubernetes.settings import PARENT_GATEWAY, Settings


class Services(LiveNames):
    """Those of one namespace."""

    def __init__(self, api: Api, given: Settings) -> None:
        self._api = api
        self._given = given

    def find(self, name: str) -> Live | None:
        """As its Service says. See `LiveNames`."""
        service = ours(self._api, "Service", manifests.object_name(name), name)
        return None if service is None else manifests.live_of(service)

    def write(self, name: str, live: Live) -> bool:
        """In one write of the Service. See `LiveNames`."""
        try:
            self._api.apply(manifests.service(name, live))
        except TargetError as error:
            if error.status != CONFLICT:
                raise
            return False
        return True

    def url(self, name: str) -> str:
        """Where callers find the function."""
        template = self._given.url or f"http://{{name}}.{self._api.namespace}.svc"
        return template.replace("{name}", manifests.object_name(name)).rstrip("/")

    def lead(self, name: str) -> None:
        """Have the Gateway's HTTPRoute follow the Service, where there is a Gateway. See `LiveNames`.

        The Service is read after the HTTPRoute, which must not have been written since: so what was read of it last is what stays.
        """
        if self._given.parent is None:
            return
        objects = manifests.object_name(name)
        for _ in tries(PATIENCE, 0.2):
            try:
                route = ours(self._api, "HTTPRoute", objects, name)
                live = self.find(name)
                if live is None:
                    return
                version = None if route is None else route["metadata"]["resourceVersion"]
                self._api.apply(
                    manifests.http_route(
                        name, self._given.parent, self.url(name), candidate_of(live), version
                    )
                )
            except TargetError as error:
                if is_unknown(error):
                    raise TargetError(
                        f"{PARENT_GATEWAY} is set, and this cluster knows no HTTPRoute: {error.message}",
                        next_step=f"install the Gateway API, or leave {PARENT_GATEWAY} unset",
                    ) from error
                if error.status != CONFLICT:
                    raise
            else:
                return
        raise crowded(f"the HTTPRoute of {name}")

    def lost(self, name: str, live: Live) -> list[str]:
        """What of it does not lead to what is live, as somebody changed it by hand; outside a rollout."""
        objects, found = manifests.object_name(name), []
        service = ours(self._api, "Service", objects, name)
        if service is None or service["spec"].get("selector") != manifests.of_revision(name, live.revision):
            found.append(f"the Service {objects} does not select the pods of {live.revision}")
        if self._given.parent is not None:
            route = self._route(name)
            wanted = manifests.http_route(name, self._given.parent, self.url(name))
            if route is None or _asked(route) != _asked(wanted):
                found.append(f"the HTTPRoute {objects} does not lead to the Service")
        return found

    def remove(self, name: str) -> None:
        """Take it away, how callers come to it first."""
        objects = manifests.object_name(name)
        if self._given.parent is not None and self._route(name) is not None:
            self._api.delete("HTTPRoute", objects)
        if self.find(name) is not None:
            self._api.delete("Service", objects)

    def _route(self, name: str) -> Object | None:
        """How callers come to it; None where there is no such route, nor where the cluster knows none at all."""
        try:
            return ours(self._api, "HTTPRoute", manifests.object_name(name), name)
        except UnknownKind:
            return None


def _asked(route: Object) -> list[object]:
    """By what an HTTPRoute is asked, and whom it asks; the API server adds more to each."""
    rules = route["spec"].get("rules") or []
    backends = [each for rule in rules for each in rule.get("backendRefs") or []]
    return [
        route["spec"].get("hostnames"),
        [(each.get("name"), each.get("namespace")) for each in route["spec"].get("parentRefs") or []],
        [(each.get("name"), each.get("weight")) for each in backends],
    ]


def candidate_of(live: Live) -> tuple[str, int] | None:
    """The revision in a rollout, and its share of what a Gateway deals; None where it deals nothing out."""
    watch = watch_of(live)
    if watch is None or watch.record.over or live.traffic:
        return None
    return watch.record.revision, watch.record.share
