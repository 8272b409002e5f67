"""A cluster in memory with Knative Serving, and KServe on it, whose controllers follow each write at once.

What asks is dealt out by the shares that the platform's status has; what is asked and has no pod gets one. Its real twin, as far as there
is one, is in tests/cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import httpx

from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.api import Object
from penstock.targets.kubernetes.owned import annotation
from tests.kserve import predictor_by, predictor_in, service_of
from tests.penstock.targets.cluster import Cluster

#: Pods of what has a share.
SIZE = 3
_SERVICE, _REVISION = "serving.knative.dev/service", "serving.knative.dev/revision"


class Serverless(Cluster):
    """See `Cluster`. Controllers do not follow what is written of the kinds in which they are `behind`."""

    def __init__(self) -> None:
        super().__init__()
        self.behind: Collection[str] = ()
        self._sizes: dict[str, tuple[int, int]] = {}
        self._templates: dict[str, list[Object]] = {}

    # -- as the API server ----------------------------------------------------------------------------------

    def change(self, kind: str, name: str, edit: Callable[[Object | None], Object]) -> Object:
        """Write what `edit` makes of an object, unless that is the same; anew where somebody else wrote meanwhile."""
        while True:
            before = self.get(kind, name)
            after = edit(before)
            if after == before:
                return after
            if before is None:
                self._may_die()
                return self._write(kind, name, dict(after))
            with suppress(TargetError):
                return self.replace(kind, after)

    def replace(self, kind: str, found: Object) -> Object:
        """Write an object that was read, if it is that still."""
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        self._may_die()
        about = found["metadata"]
        now = self.objects.get((kind, about["name"]))
        if now is None or now["metadata"]["resourceVersion"] != about["resourceVersion"]:
            raise TargetError("the object has been modified", status=409)
        return self._write(kind, about["name"], {**found, "metadata": {**about}})

    def metrics(self, pod: str, port: int) -> str | None:
        """What the function counts; the proxy beside it has other ports."""
        return super().metrics(pod, port) if port == 8080 else None

    def printed(self, *_: object, **__: object) -> list[str]:
        """Nothing is."""
        return []

    def delete(self, kind: str, name: str) -> None:
        """With what was made of it."""
        super().delete(kind, name)
        if kind == "InferenceService":
            self.delete("KnativeService", f"{name}-predictor")
        if kind == "KnativeService":
            for each in self.find("KnativeRevision", {_SERVICE: name}):
                super().delete("KnativeRevision", each["metadata"]["name"])

    def _write(self, kind: str, name: str, made: dict[str, Any]) -> dict[str, Any]:
        self._store(kind, name, made)
        if kind not in self.behind:
            self._follow(kind, name)
        return dict(self.get(kind, name) or {})

    def _store(self, kind: str, name: str, made: Object) -> None:
        """Write an object; it is of another generation if its spec is another."""
        before = self.get(kind, name)
        super()._write(kind, name, made)
        if before is not None and before["spec"] == made["spec"]:
            made["metadata"]["generation"] = before["metadata"]["generation"]

    # -- as the controllers ---------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Have controllers follow what was written."""
        self.behind = ()
        for kind, name in list(self.objects):
            self._follow(kind, name)

    def _follow(self, kind: str, name: str) -> None:
        if kind == "InferenceService":
            found, made = self.objects[kind, name], service_of(self.objects[kind, name])
            service = made["metadata"]["name"]
            now = self.objects.get(("KnativeService", service), {"metadata": {}})
            # What is not its own stays as it is.
            kept = {**now, **made, "metadata": {**now["metadata"], **made["metadata"]}}
            status = self._write("KnativeService", service, kept)["status"]
            component = predictor_by(predictor_in(found), status)
            self._say(kind, name, {"url": f"http://{name}", "components": {"predictor": component}})
        if kind == "KnativeService":
            found = self.objects[kind, name]
            newest = self._newest(name, found["spec"]["template"])
            traffic = [
                {
                    **each,
                    "revisionName": newest if each.get("latestRevision") else each["revisionName"],
                    "url": f"http://{each.get('tag')}-{name}",
                }
                for each in found["spec"]["traffic"]
            ]
            names = {"latestCreatedRevisionName": newest, "latestReadyRevisionName": newest}
            seen = {
                "observedGeneration": found["metadata"]["generation"],
                "conditions": [{"type": "RoutesReady", "status": "True"}],
            }
            self._say(kind, name, {"url": f"http://{name}", "traffic": traffic, **names, **seen})

    def _newest(self, service: str, template: Object) -> str:
        """The Revision of a template; another one for each other template."""
        known, about = self._templates.setdefault(service, []), template["metadata"]
        if not known or known[-1] != template:
            known.append(template)
        name = about.get("name") or f"{service}-{len(known):05}"
        made = {
            "metadata": {"name": name, "labels": {**about["labels"], _SERVICE: service}, "annotations": about["annotations"]},
            "spec": template["spec"],
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }  # fmt: skip
        if ("KnativeRevision", name) not in self.objects:
            super()._write("KnativeRevision", name, made)
        return str(name)

    def _say(self, kind: str, name: str, status: Object) -> None:
        self._store(kind, name, {**self.objects[kind, name], "status": status})

    # -- as the autoscaler ----------------------------------------------------------------------------------

    def scale(self, revision: str, number: int) -> None:
        """Have so many pods of one of our revisions, in the place of those there were."""
        for each in self.find("KnativeRevision", manifests.of_revision("shift", revision)):
            name = each["metadata"]["name"]
            self._sizes[name] = (number, self._sizes.get(name, (0, 0))[1] + 1)

    def _standing(self) -> list[Object]:
        shares = {each["revisionName"] for each in self._traffic() if each["percent"]}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [
            {"metadata": {"name": f"{name}-{life}-{number}", "labels": {**each["metadata"]["labels"], _REVISION: name}}, "status": ready}
            for (kind, name), each in self.objects.items()
            if kind == "KnativeRevision" and name in shares
            for size, life in [self._sizes.get(name, (SIZE, 0))]
            for number in range(size)
        ]  # fmt: skip

    # -- as callers see it ----------------------------------------------------------------------------------

    def request(self, requests: int) -> list[str]:
        """Who answers so many requests of the live name."""
        traffic = self._traffic()
        weights = [each["percent"] for each in traffic]
        dealt = [self._revision(each) for each in self._deal.choices(traffic, weights, k=requests)]
        pods = {revision: self._pods_of(revision) for revision in dict.fromkeys(dealt)}
        for revision in dealt:
            status, seconds = self.answers.get(revision, lambda: (200, 0.003))()
            self._counting(self._deal.choice(pods[revision])).answered("/predict", status, seconds)
        return dealt

    def _pods_of(self, revision: str) -> list[str]:
        """One that is asked and has none gets one."""
        labels = manifests.of_revision("shift", revision)
        if not self.find("Pod", labels):
            self.scale(revision, 1)
        return [pod["metadata"]["name"] for pod in self.find("Pod", labels)]

    def health(self, url: str, *_: object, **__: object) -> httpx.Response:
        """Which revision answers at a URL: that of a tag, or who it is dealt to."""
        tagged = [each for each in self._traffic() if each["url"] == url]
        revision = self._revision(tagged[0]) if tagged else self.request(1)[0]
        return httpx.Response(200, json={"revision": revision})

    def _traffic(self) -> list[Any]:
        """Where requests of the function go by now."""
        services = (self.objects.get(("KnativeService", name)) for name in ("shift", "shift-predictor"))
        return next((list(each["status"]["traffic"]) for each in services if each), [])

    def _revision(self, entry: Object) -> str:
        return annotation(self.objects["KnativeRevision", entry["revisionName"]], manifests.REVISION)
