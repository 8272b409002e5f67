"""Knative: a function is a Service of it, whose `traffic` names each Revision that is asked, by its tag those without a share.

https://github.com/knative/specs/blob/main/specs/serving/knative-api-specification-1.0.md
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.api import Object
from penstock.targets.kubernetes.manifests import Revision, Shape
from penstock.targets.kubernetes.owned import annotation
from penstock.targets.serverless.manifests import TEMPLATE, about, of_function, pod
from penstock.targets.serverless.platform import Share, Traffic


class Knative:
    """Knative Serving. See `Platform`."""

    title = "Knative"
    kind = "KnativeService"
    resource = "services.serving.knative.dev"
    container = manifests.CONTAINER
    one_beside = False

    def keeper(self, function: str) -> str:
        """The function's own object. See `Platform`."""
        return manifests.object_name(function)

    def put(self, now: Object | None, made: Revision, shape: Shape) -> Object:
        """Its template, and a tag for it. Of a function that is new it gets all traffic, as somebody must. See `Platform`."""
        wanted = template(made, shape)
        name, tag = wanted["metadata"]["name"], _tag(made.revision)
        if now is None:
            return {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "metadata": {
                    "name": manifests.object_name(made.function),
                    "labels": of_function(made.function),
                },
                "spec": {"template": wanted, "traffic": [{**_entry(name, 100), "tag": tag}]},
            }
        traffic = [_untagged(each, tag) for each in _pinned(now) if each["revisionName"] != name]
        own = next((each for each in _pinned(now) if each["revisionName"] == name), _entry(name, 0))
        # One of an older image of the same package had the tag.
        shared = [each for each in traffic if each.get("percent") or "tag" in each]
        return _with(now, wanted, [*shared, {**own, "tag": tag}])

    def undo(self, now: Object, before: Object, made: Revision, shape: Shape) -> Object:
        """Neither template nor tag, if it had none before. See `Platform`."""
        name = template(made, shape)["metadata"]["name"]
        known = {each["revisionName"] for each in _pinned(before)}
        traffic = [each for each in _pinned(now) if each["revisionName"] != name or name in known]
        ours = now["spec"]["template"]["metadata"].get("name") == name
        return _with(now, before["spec"]["template"] if ours else now["spec"]["template"], traffic)

    def route(self, now: Object, shares: Sequence[Share], shape: Shape) -> Object:
        """To each by its name, and no other is asked: Knative ends the pods of those. See `Platform`."""
        traffic = []
        for known, percent in shares:
            tag = _tag(annotation(known[-1], manifests.REVISION))
            names = [each["metadata"]["name"] for each in known]
            tagged = (each["revisionName"] for each in _pinned(now) if each.get("tag") == tag)
            name = next((each for each in tagged if each in names), names[-1])
            traffic.append({**_entry(name, percent), "tag": tag})
        return {**now, "spec": {**now["spec"], "traffic": traffic}}

    def shares(self, found: Object) -> object:
        """By name. See `Platform`."""
        return {each["revisionName"]: each["percent"] for each in _pinned(found) if each.get("percent")}

    def can_share(self, now: Object, known: Sequence[Object]) -> bool:
        """Any can. See `Platform`."""
        return True

    def proof(self, found: Object, made: Revision, shape: Shape) -> str | None:
        """By its tag. See `Platform`."""
        name, tag = template(made, shape)["metadata"]["name"], _tag(made.revision)
        tagged = (each for each in self.traffic(found) if each.get("tag") == tag)
        return next((each.get("url") for each in tagged if each.get("revisionName") == name), None)

    def traffic(self, found: Object) -> Sequence[Traffic]:
        """As its status has it. See `Platform`."""
        return list(found.get("status", {}).get("traffic") or [])

    def newest(self, found: Object) -> str | None:
        """As its status has it. See `Platform`."""
        newest: str | None = found.get("status", {}).get("latestCreatedRevisionName")
        return newest


def template(made: Revision, shape: Shape) -> Object:
    """What Knative makes the Revision of. Its name tells all of it, as a Revision of that name never changes."""
    # Without a port it is the container's.
    spec = pod(made, shape, Knative.container, {"path": "/health"})
    scale = {
        "min-scale": str(shape.least) if shape.least else None,
        "max-scale": str(shape.most) if shape.most else None,
        "metric": "rps" if shape.metric else None,
        "target": shape.value or None,
    }
    scaled = {f"autoscaling.knative.dev/{name}": value for name, value in scale.items() if value is not None}
    found = about(made, {**spec, **scaled})
    return {
        "metadata": {
            "name": f"{made.name}-{found['labels'][TEMPLATE]}",
            "labels": found["labels"],
            "annotations": {**found["annotations"], **scaled},
        },
        "spec": spec,
    }


def _with(now: Object, wanted: Object, traffic: Sequence[Traffic]) -> Object:
    """The Service with a template, which it has already if it has one of that name, as Knative has filled it in."""
    own = now["spec"]["template"]
    named = own["metadata"].get("name") == wanted["metadata"].get("name")
    return {**now, "spec": {**now["spec"], "template": own if named else wanted, "traffic": list(traffic)}}


def _pinned(found: Object) -> list[Traffic]:
    """The traffic that is declared, each share to a Revision by its name: one to the latest would move with the template."""
    latest = found.get("status", {}).get("latestReadyRevisionName")
    declared = found["spec"].get("traffic") or [_entry(latest, 100)]
    return [
        {**each, "revisionName": latest, "latestRevision": False} if each.get("latestRevision") else each
        for each in declared
    ]


def _tag(revision: str) -> str:
    """A host's label begins with a letter."""
    return f"r{revision[-12:]}"


def _untagged(entry: Traffic, tag: str) -> Traffic:
    return {key: value for key, value in entry.items() if key != "tag" or value != tag}


def _entry(name: str | None, percent: int) -> Traffic:
    return {"revisionName": name, "latestRevision": False, "percent": percent}
