"""What Knative and KServe are told of a revision alike: whose it is, and the container that is the function.

Only what Knative lets anybody say is said, as an installation has it without any of its feature flags
(https://knative.dev/docs/serving/configuration/feature-flags/): who a process is stands in the container, and there are no hooks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from penstock.host.manifest import Manifest
from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.manifests import Object, Revision, Shape

#: Which of a package's images and shapes a Revision is, as it never changes.
TEMPLATE: Final = "penstock/template"
#: A host's first label has 63 characters, and of these the platforms and we take what is left.
_LONGEST: Final = 43


def check(manifest: Manifest) -> None:
    """Refuse a function that cannot be named here. Raises TargetError."""
    manifests.check(manifest)
    if len(manifests.object_name(manifest.name)) > _LONGEST:
        raise TargetError(
            f"the function {manifest.name} cannot be the host of a URL, with a revision beside it: expected {_LONGEST} characters at most",
            next_step="name it otherwise: function={'name': ...}",
        )


def of_function(function: str) -> dict[str, str]:
    """The labels of the object that is the function."""
    return {**manifests.of_function(function), "app.kubernetes.io/part-of": "penstock"}


def about(made: Revision, said: Mapping[str, Any]) -> Object:
    """The labels and annotations of a revision of which all that is `said`."""
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:6]
    return {
        "labels": {
            **manifests.of_revision(made.function, made.revision),
            "app.kubernetes.io/version": made.version,
            TEMPLATE: digest,
        },
        "annotations": {**manifests.SCRAPED, manifests.REVISION: made.revision},
    }


def pod(made: Revision, shape: Shape, container: str, health: Mapping[str, Any]) -> Object:
    """The pod of a revision, whose function is the container of that name, and asked for its `health` by HTTP."""
    found = manifests.container(made, shape, health)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [
            {
                **found,
                "name": container,
                "ports": [{"containerPort": manifests.PORT, "protocol": "TCP"}],
                "securityContext": {**found["securityContext"], **manifests.nobody()},
            }
        ],
    }
