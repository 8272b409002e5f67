"""KServe: a function is an InferenceService, whose `canaryTrafficPercent` is the share of what it holds now.

KServe keeps the rest for what last had all; it can where it stands on Knative, in the mode that is called Serverless, and Knative
since KServe 0.16. https://kserve.github.io/website/docs/model-serving/predictive-inference/rollout-strategies/canary
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.api import Object
from penstock.targets.kubernetes.manifests import Revision, Shape
from penstock.targets.kubernetes.owned import annotation
from penstock.targets.serverless.manifests import TEMPLATE, about, of_function, pod
from penstock.targets.serverless.platform import Share, Traffic

#: The tag that KServe gives to the newest Revision, where it is asked for tags.
_LATEST: Final = "latest"
_ANNOTATIONS: Final = {
    # The name that every release knows.
    "serving.kserve.io/deploymentMode": "Serverless",
    "serving.kserve.io/enable-tag-routing": "true",
}
_CANARY: Final = "canaryTrafficPercent"


class KServe:
    """KServe on Knative. See `Platform`."""

    title = "KServe"
    kind = "InferenceService"
    resource = "inferenceservices.serving.kserve.io"
    #: By this KServe knows it among others of the pod.
    container = "kserve-container"
    one_beside = True

    def keeper(self, function: str) -> str:
        """What KServe makes of the predictor, and leaves its annotations as they are. See `Platform`."""
        return f"{manifests.object_name(function)}-predictor"

    def put(self, now: Object | None, made: Revision, shape: Shape) -> Object:
        """What it holds now, with no share, once one is said: until then nobody is live, and KServe gives the newest all.

        See `Platform`.
        """
        wanted = predictor(made, shape)
        if now is None:
            return {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "metadata": {
                    "name": manifests.object_name(made.function),
                    "labels": of_function(made.function),
                    "annotations": dict(_ANNOTATIONS),
                },
                "spec": {"predictor": wanted},
            }
        if _is(now, wanted) and _images(now["spec"]["predictor"]) == _images(wanted):
            return now
        return _with(now, {**wanted, _CANARY: 0} if _CANARY in now["spec"]["predictor"] else wanted)

    def undo(self, now: Object, before: Object, made: Revision, shape: Shape) -> Object:
        """What it held before, of which Knative makes a Revision anew. See `Platform`."""
        return _with(now, before["spec"]["predictor"]) if _is(now, predictor(made, shape)) else now

    def route(self, now: Object, shares: Sequence[Share], shape: Shape) -> Object:
        """A share is that of what it holds, and what had all before has the rest. See `Platform`.

        So going back from a share is to take it; nothing else is made. What neither is held nor had all before is made anew.
        """
        known, percent = shares[-1]
        held = now["spec"]["predictor"]
        if not self.can_share(now, known):
            if _status(now).get("latestRolledoutRevision") in {each["metadata"]["name"] for each in known}:
                percent = 0
            else:
                held = predictor(_revision(known[-1]), shape)
        return _with(now, {**held, _CANARY: percent})

    def shares(self, found: Object) -> object:
        """That of what it holds, and what that is. See `Platform`."""
        held = found["spec"]["predictor"]
        return held.get(_CANARY), (held.get("labels") or {}).get(TEMPLATE), _images(held)

    def can_share(self, now: Object, known: Sequence[Object]) -> bool:
        """What it holds can. See `Platform`."""
        return any(_is(now, each["metadata"]) for each in known)

    def proof(self, found: Object, made: Revision, shape: Shape) -> str | None:
        """By the tag of the newest. See `Platform`."""
        tagged = (each for each in self.traffic(found) if each.get("tag") == _LATEST)
        return next((each.get("url") for each in tagged), None)

    def traffic(self, found: Object) -> Sequence[Traffic]:
        """As its status has it. See `Platform`."""
        return list(_status(found).get("traffic") or [])

    def newest(self, found: Object) -> str | None:
        """As its status has it. See `Platform`."""
        newest: str | None = _status(found).get("latestCreatedRevision")
        return newest


def predictor(made: Revision, shape: Shape) -> Object:
    """What KServe makes Knative's Service of, less its share of the traffic."""
    scaled: dict[str, Any] = {"minReplicas": shape.least}
    if shape.most:
        scaled["maxReplicas"] = shape.most
    if shape.metric:
        scaled |= {"scaleMetric": "rps", "scaleTarget": int(shape.value)}
    health = {"path": "/health", "port": manifests.PORT}
    said = {**pod(made, shape, KServe.container, health), **scaled}
    return {**said, **about(made, said)}


def _revision(target: Object) -> Revision:
    """What a Knative Revision was made of."""
    image = next(
        each["image"] for each in target["spec"]["containers"] if each.get("name") == KServe.container
    )
    return Revision(
        manifests.function_of(target) or "",
        target["metadata"]["labels"]["app.kubernetes.io/version"],
        annotation(target, manifests.REVISION),
        image,
    )


def _is(now: Object, wanted: Object) -> bool:
    """Whether an InferenceService holds what has these labels, in which all of it is told."""
    held = now["spec"]["predictor"].get("labels") or {}
    return all(held.get(label) == wanted["labels"][label] for label in (manifests.SHORT, TEMPLATE))


def _images(held: Object) -> list[str | None]:
    return [each.get("image") for each in held.get("containers") or []]


def _with(now: Object, held: Object) -> Object:
    return {**now, "spec": {**now["spec"], "predictor": held}}


def _status(found: Object) -> Object:
    status: Object = found.get("status", {}).get("components", {}).get("predictor", {})
    return status
