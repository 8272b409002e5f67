"""How soon a new version answers on Kubernetes, beside a bare `kubectl rollout`. `python -m bench.targets.kubernetes`, on the cluster that KUBECONFIG names.

In turn, in one namespace, each time another version of the model of `bench.serving`, of which no node has the image yet. Ours: from a package in a
folder to the live name's first answer by it, which is an image in the registry, a Deployment beside the old one, and the move. Bare: a
Deployment of the same pods, told of an image that lies in the registry already, by `kubectl set image`; `kubectl rollout status` waits for it, and
`kubectl get --raw` for the first answer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.serving import models
from bench.targets.timing import median_and_worst, renamed, timed
from penstock.spec.function import Function
from penstock.targets import open_target
from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes import settings as given
from penstock.targets.kubernetes.manifests import Live, Revision
from penstock.targets.package_image import append
from penstock.targets.sending import contents
from tests.cluster.functions import Place, places, settings

BARE: Final = "bare"
KUBECONFIG: Final = os.environ.get("KUBECONFIG", "")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.targets.kubernetes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of both, in turn (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-kubernetes-") as name:
        folder = Path(name)
        with places(folder) as place:
            os.environ.update(settings(place))
            package = models.write("boosted", folder / "package")
            rounds = _rounds(place, package, folder, options.rounds)
    ours, bare = zip(*rounds, strict=True)
    ratio = statistics.median(one / other for one, other in rounds)
    print("| | s: median / worst |\n| --- | --- |")
    print(f"| from a package to its first live answer | {median_and_worst(ours)} |")
    print(f"| a bare `kubectl rollout` of an image that is there | {median_and_worst(bare)} |")
    print(f"| ratio of a round's two, median (goal: at most 1.2) | {ratio:.2f} |")


def _rounds(place: Place, package: Path, folder: Path, count: int) -> list[tuple[float, float]]:
    target = open_target(Function(target="kubernetes"), folder)
    target.prepare()
    record = json.loads((package / "samples.json").read_text())["records"][0]

    def another(name: str, version: int) -> Path:
        return renamed(package, folder / f"{name}-{version}", name=name, version=str(version))

    def deploy(version: int) -> None:
        target.route("ours", target.put(another("ours", version)))
        assert target.invoke("ours", record)["version"] == str(version)

    bare = [_pushed(another(BARE, version), place) for version in range(count + 1)]
    _apply(place, bare[0])
    deploy(0)
    rounds = []
    for version in range(1, count + 1):
        rounds.append((timed(partial(deploy, version)), timed(partial(_roll_out, place, bare[version]))))
        print(f"round {version} of {count}: {rounds[-1][0]:.2f} s, bare {rounds[-1][1]:.2f} s", flush=True)
    target.remove("ours")
    return rounds


def _pushed(package: Path, place: Place) -> Revision:
    """The bare Deployment's next image."""
    found = contents(package)
    image = append(found, place.image, given.read().repository(BARE))
    return Revision(BARE, found.manifest.version, found.revision, image)


def _apply(place: Place, made: Revision) -> None:
    """Have the bare Deployment and its Service."""
    deployment: dict[str, Any] = manifests.deployment(made, given.read().shape)
    deployment["metadata"]["name"] = BARE
    deployment["spec"]["replicas"] = 1
    live = Live(made.revision, "", "1970-01-01T00:00:00+00:00")
    objects = {"apiVersion": "v1", "kind": "List", "items": [deployment, manifests.service(BARE, live)]}
    _kubectl(place, "apply", "--filename", "-", said=json.dumps(objects))
    _kubectl(place, "rollout", "status", f"deployment/{BARE}")


def _roll_out(place: Place, made: Revision) -> None:
    _kubectl(place, "set", "image", f"deployment/{BARE}", f"{manifests.CONTAINER}={made.image}")
    _kubectl(place, "rollout", "status", f"deployment/{BARE}")
    health = f"/api/v1/namespaces/{place.namespace}/services/{BARE}:http/proxy/health"
    while json.loads(_kubectl(place, "get", "--raw", health))["revision"] != made.revision:
        pass


def _kubectl(place: Place, *arguments: str, said: str | None = None) -> str:
    # Who deploys has no right to watch, by which `rollout status` waits.
    command = ["kubectl", "--kubeconfig", KUBECONFIG, "--namespace", place.namespace, *arguments]
    return subprocess.run(command, input=said, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
