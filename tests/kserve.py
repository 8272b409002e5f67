"""What KServe's controller makes of an InferenceService where it stands on Knative, for stand-ins of it: pure functions.

By its `ksvc_reconciler.go` and `inference_service_status.go` (https://github.com/kserve/kserve).
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

_OWN = ("canaryTrafficPercent", "labels", "annotations", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")  # fmt: skip


def service_of(found: Mapping[str, Any]) -> Object:
    """Knative's Service, whose latest Revision gets `canaryTrafficPercent`, and the rest the last that had all.

    All annotations of the InferenceService are its template's: another one makes another Revision.
    """
    predictor, about = copy.deepcopy(found["spec"]["predictor"]), found["metadata"]
    own = {key: predictor.pop(key, None) for key in _OWN}
    canary, rolled_out = own["canaryTrafficPercent"], predictor_in(found).get("latestRolledoutRevision")
    shared = canary is not None and rolled_out
    traffic: list[Object] = [{"latestRevision": True, "percent": canary if shared else 100, "tag": "latest"}]
    if shared and canary < 100:
        traffic.append(
            {"latestRevision": False, "revisionName": rolled_out, "percent": 100 - canary, "tag": "prev"}
        )
    metadata = {
        "labels": {**about["labels"], **(own["labels"] or {})},
        "annotations": {**about["annotations"], **(own["annotations"] or {})},
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": f"{about['name']}-predictor", "labels": about["labels"]},
        "spec": {"template": {"metadata": metadata, "spec": predictor}, "traffic": traffic},
    }


def predictor_in(found: Mapping[str, Any]) -> Object:
    """What an InferenceService's status says of its predictor."""
    return dict(found.get("status", {}).get("components", {}).get("predictor", {}))


def predictor_by(before: Mapping[str, Any], status: Mapping[str, Any]) -> Object:
    """The same once the Service of Knative has this status."""
    ready, created = status.get("latestReadyRevisionName", ""), status.get("latestCreatedRevisionName", "")
    traffic = status.get("traffic", [])
    made = {
        **before, "latestCreatedRevision": created, "latestReadyRevision": ready, "traffic": traffic,
    }  # fmt: skip
    rolled_out, previous = before.get("latestRolledoutRevision"), before.get("previousRolledoutRevision")
    latest = next((each for each in traffic if each.get("latestRevision")), {})
    if latest.get("revisionName") != ready:
        return made
    total = Counter[str]()
    for each in traffic:
        total[each["revisionName"]] += each.get("percent", 0)
    if ready != rolled_out and latest["percent"] == 100:
        made |= {"previousRolledoutRevision": rolled_out or "", "latestRolledoutRevision": ready}
    elif ready == rolled_out == created and latest["percent"] < 100 == total[ready] and previous:
        made["latestRolledoutRevision"] = previous
    return made
