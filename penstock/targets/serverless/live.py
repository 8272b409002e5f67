"""What a function's live name leads to, kept in annotations of a Service of Knative.

That is the function's own object, whose traffic moves in the same write. On KServe it is what that makes of a predictor, and the
function's object follows: of that one's annotations KServe makes a Revision, each time one changes.
"""

from __future__ import annotations

from typing import Final

from penstock.targets import TargetError
from penstock.targets.asking import crowded, tries
from penstock.targets.kubernetes import manifests, owned
from penstock.targets.kubernetes.api import CONFLICT, Api, Object
from penstock.targets.kubernetes.live import PATIENCE, LiveNames, watch_of
from penstock.targets.kubernetes.manifests import Live, Shape
from penstock.targets.kubernetes.owned import annotation
from penstock.targets.serverless.platform import Platform, absent, all_to, settled
from penstock.targets.serverless.revisions import Revisions

_KEEPER: Final = "KnativeService"


class Annotated(LiveNames):
    """Those of one namespace on one platform."""

    def __init__(self, api: Api, platform: Platform, revisions: Revisions, shape: Shape) -> None:
        self._api = api
        self._platform = platform
        self._revisions = revisions
        self._shape = shape

    def find(self, name: str) -> Live | None:
        """As the annotations say. See `LiveNames`."""
        found = self._keeper(name)
        return manifests.live_of(found) if found and annotation(found, manifests.REVISION) else None

    def write(self, name: str, live: Live) -> bool:
        """With the traffic, where one object has both. See `LiveNames`."""
        found = self._keeper(name)
        if found is None:
            raise absent(self._platform, name)
        about = found["metadata"]
        if live.version not in (None, about["resourceVersion"]):
            return False
        annotations = {**(about.get("annotations") or {}), **manifests.said_of(live)}
        after: Object = {**found, "metadata": {**about, "annotations": annotations}}
        if self._platform.kind == _KEEPER:
            after = self._led(name, after, live)
        try:
            self._api.replace(_KEEPER, after)
        except TargetError as error:
            if error.status != CONFLICT:
                raise
            return False
        return True

    def lead(self, name: str) -> None:
        """Have the traffic as it is written. See `LiveNames`.

        What is written is read after the function's object, which must not have been written since, and once more after that: who had
        nothing to change meanwhile has not written it.
        """

        def led(now: Object | None) -> Object:
            live = self.find(name)
            if now is None or live is None:
                raise absent(self._platform, name)
            owned.check(self._api, self._platform.kind, now, name)
            return self._led(name, now, live)

        for _ in tries(PATIENCE, 0.2):
            before = self.find(name)
            self._api.change(self._platform.kind, manifests.object_name(name), led)
            if _said(self.find(name)) == _said(before):
                return
        raise crowded(f"the live name of {name}")

    def leads_all_to(self, name: str) -> str | None:
        """The Knative Revision that gets all requests; None while they are shared, or Knative is not done with what it was told last.

        On KServe the function's own object says it later, and does not say of which of its generations.
        """
        found = self._keeper(name)
        return all_to(settled(found)) if found else None

    def lost(self, name: str, found: Object, live: Live) -> list[str]:
        """What of the function's object `found` does not lead to what is live, as somebody changed it by hand; outside a rollout."""
        if not self._revisions.find(manifests.of_revision(name, live.revision)):
            return []  # it lacks the revision itself
        wanted = self._led(name, found, live)
        if self._platform.shares(found) == self._platform.shares(wanted):
            return []
        return [
            f"{self._platform.title} is told other shares of the traffic than all of it to {live.revision}"
        ]

    def _led(self, name: str, now: Object, live: Live) -> Object:
        """The function's object with the traffic that is written."""
        watch = watch_of(live)
        shares = {live.revision: 100}
        if watch and not watch.record.over:
            share = watch.record.share
            shares = {live.revision: 100 - share, watch.record.revision: share}
        known = [(self._revisions.known(name, revision), percent) for revision, percent in shares.items()]
        return self._platform.route(now, known, self._shape)

    def _keeper(self, name: str) -> Object | None:
        return owned.ours(self._api, _KEEPER, self._platform.keeper(name), name)


def _said(live: Live | None) -> dict[str, str]:
    return {} if live is None else manifests.said_of(live)
