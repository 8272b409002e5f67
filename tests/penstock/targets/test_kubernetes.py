"""What is asked of Kubernetes, and how its words are read. The target itself is tried on a cluster (tests/cluster)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.host.manifest import Manifest
from penstock.targets import TargetError
from penstock.targets.kubernetes import access, deployments, manifests, settings, trouble
from penstock.targets.kubernetes.api import log_lines
from penstock.targets.kubernetes.manifests import Live, Revision, Shape

MADE = Revision("flight_delays", "7", "v7-0123456789ab", f"registry.example/team/fn@sha256:{'a' * 64}")
GIVEN = {
    settings.NAMESPACE: "functions",
    settings.IMAGE: "registry.example/penstock/function:1",
    settings.REGISTRY: "registry.example/team/",
}


def function(name: str, version: str = "7") -> Manifest:
    return Manifest(format=1, name=name, version=version, runtime="onnx", files={})


# -- settings -----------------------------------------------------------------------------------------------------


def test_settings_have_their_defaults() -> None:
    """Three are asked for; two pods, found by the cluster's DNS, are the default."""
    found = settings.read(GIVEN)
    assert (found.namespace, found.registry, found.url) == ("functions", "registry.example/team", None)
    assert (found.shape.least, found.shape.most, found.shape.metric) == (2, 2, None)


def test_settings_of_all_kinds() -> None:
    """Scaled by requests, with keys that packages must be signed by."""
    found = settings.read(
        {**GIVEN, settings.REPLICAS: "2-10", settings.SCALE_ON: "requests=100", settings.CPU: "1.5", settings.MEMORY: "1Gi",
         settings.URL: "https://functions.example/{name}", "PENSTOCK_PUBLIC_KEYS": "key"}
    )  # fmt: skip
    assert found.shape == Shape(2, 10, "requests", "100", "1.5", "1Gi", "key")
    assert found.url == "https://functions.example/{name}"


def test_what_is_not_set_is_told_all_at_once() -> None:
    """With where to set it."""
    with pytest.raises(
        TargetError, match=f"{settings.NAMESPACE}, {settings.IMAGE}, {settings.REGISTRY} is not"
    ):
        settings.read({})


def test_each_kind_of_function_has_its_image() -> None:
    """One of the two is enough, and a function of the other kind is refused with the variable that it lacks."""
    named = {**GIVEN, settings.IMAGE: "", settings.MLEAP_IMAGE: "registry.example/penstock/function-mleap:1"}
    found = settings.read(named)
    assert found.image("mleap") == named[settings.MLEAP_IMAGE]
    with pytest.raises(TargetError, match=f"of the kind onnx, and {settings.IMAGE} is not set"):
        found.image("onnx")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({settings.NAMESPACE: "a/b"}, r"NAMESPACE is 'a/b'"),
        ({settings.REPLICAS: "0"}, r"REPLICAS is '0', expected a number of pods"),
        (
            {settings.REPLICAS: "9-2", settings.SCALE_ON: "latency=50m"},
            r"REPLICAS is '9-2'.*smaller number first",
        ),
        ({settings.REPLICAS: "2-9"}, r"go together"),
        ({settings.SCALE_ON: "latency=50m"}, r"go together"),
        ({settings.REPLICAS: "2-9", settings.SCALE_ON: "cpu=1"}, r"SCALE_ON is 'cpu=1', expected requests"),
        ({settings.CPU: "fast", settings.MEMORY: "-1"}, r"CPU is 'fast'.*; .*MEMORY is '-1'"),
        ({settings.URL: "https://functions.example"}, r"URL is .*\{name\} in it"),
        ({settings.PARENT_GATEWAY: "public"}, r"PARENT_GATEWAY goes with PENSTOCK_KUBERNETES_URL"),
        (
            {settings.PARENT_GATEWAY: "a/b/c", settings.URL: "https://{name}.example"},
            r"PARENT_GATEWAY is 'a/b/c'",
        ),
    ],
)
def test_wrong_settings_are_refused(changed: Mapping[str, str], said: str) -> None:
    """Each fault by its variable, all at once."""
    with pytest.raises(TargetError, match=said):
        settings.read({**GIVEN, **changed})


# -- manifests ----------------------------------------------------------------------------------------------------


def test_a_pod_may_do_nothing_but_answer() -> None:
    """No token, no privilege, nothing to write to, bounded, proved by probes, spread, and gone only when it is drained."""
    made = manifests.deployment(MADE, Shape(cpu="100m", memory="256Mi", public_keys="key"))
    assert "replicas" not in made["spec"], "an autoscaler's number would be undone by each deployment"
    pod = made["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["image"] == MADE.image
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert container["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"memory": "256Mi"},
    }
    assert {name for name in container if name.endswith("Probe")} == {
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
    }
    assert container["env"] == [{"name": "PENSTOCK_PUBLIC_KEYS", "value": "key"}]
    assert {each["topologyKey"] for each in pod["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone", "kubernetes.io/hostname"
    }  # fmt: skip
    settle = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > settle + 10, "the runtime takes ten seconds of its own"


def test_every_object_says_whose_it_is() -> None:
    """By the labels that Kubernetes recommends, by which it is found again."""
    shape = Shape(2, 9, "latency", "50m")
    owner = {"metadata": {"uid": "1-2-3"}}
    all_of_it = [
        manifests.deployment(MADE, shape), *manifests.bounds(MADE, shape, owner),
        manifests.network_policy(MADE.function), manifests.service(MADE.function, Live(MADE.revision, "", "now")),
        manifests.revision_service(MADE, owner), manifests.http_route(MADE.function, "public", "https://fn.example"),
    ]  # fmt: skip
    assert [each["kind"] for each in all_of_it] == [
        "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "Service", "Service", "HTTPRoute"
    ]  # fmt: skip
    for each in all_of_it:
        assert manifests.function_of(each) == "flight_delays"
    assert (
        manifests.function_of({"metadata": {"labels": {"app.kubernetes.io/instance": "flight_delays"}}})
        is None
    )
    assert {each["metadata"]["name"] for each in all_of_it} == {"flight-delays", "flight-delays-0123456789ab"}


def test_the_autoscaler_goes_by_what_is_set() -> None:
    """Requests or latency; without either there is none."""
    owner = {"metadata": {"uid": "1-2-3"}}
    (_, scaler) = manifests.bounds(MADE, Shape(2, 9, "latency", "50m"), owner)
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 9)
    (metric,) = scaler["spec"]["metrics"]
    assert metric["pods"] == {
        "metric": {"name": "penstock_request_seconds_p95"}, "target": {"type": "AverageValue", "averageValue": "50m"}
    }  # fmt: skip
    assert [each["kind"] for each in manifests.bounds(MADE, Shape(), owner)] == ["PodDisruptionBudget"]


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://flight-delays.example", "flight-delays.example", "/"),
        ("http://functions.example/flight-delays", "functions.example", "/flight-delays"),
    ],
)
def test_a_route_leads_from_the_functions_url(url: str, host: str, path: str) -> None:
    """By host, or by a path that the function does not see; in a rollout by weights, or as a copy for nobody to see."""
    made = manifests.http_route("flight_delays", "gateways/public", url)
    assert made["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert made["spec"]["hostnames"] == [host]
    (rule,) = made["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": path}}]
    assert ("filters" in rule) == (path != "/")
    assert [(each["name"], each["weight"]) for each in rule["backendRefs"]] == [("flight-delays", 100)]
    (rule,) = manifests.http_route("flight_delays", "public", url, (MADE.revision, 5))["spec"]["rules"]
    weights = [("flight-delays", 95), ("flight-delays-0123456789ab", 5)]
    assert [(each["name"], each["weight"]) for each in rule["backendRefs"]] == weights
    (rule,) = manifests.http_route("flight_delays", "public", url, (MADE.revision, 0))["spec"]["rules"]
    assert [each["name"] for each in rule["backendRefs"]] == ["flight-delays"]
    assert rule["filters"][-1]["requestMirror"]["backendRef"]["name"] == "flight-delays-0123456789ab"


def test_a_live_name_is_read_as_it_was_written() -> None:
    """With pods of one revision, and in a rollout of two."""
    for live in (Live(MADE.revision, "v6-abc", "now"), Live(MADE.revision, "", "now", "{}", "a1", "7")):
        assert manifests.live_of(manifests.service("shift", live)) == live
    two = manifests.service(MADE.function, Live(MADE.revision, "", "now", "{}", "a1"))["spec"]["selector"]
    assert two == {**manifests.of_function(MADE.function), manifests.TRAFFIC: "a1"}
    beside = manifests.deployment(replace(MADE, traffic="a1"), Shape())
    assert two.items() <= beside["spec"]["template"]["metadata"]["labels"].items()
    assert manifests.revision_of(beside) == replace(MADE, traffic="a1")


@pytest.mark.parametrize("name", ["shift_", "shift-", "a_-"])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    """Before anything is made."""
    with pytest.raises(TargetError, match="cannot be a service of Kubernetes"):
        manifests.check(function(name))
    with pytest.raises(TargetError, match="cannot be a label"):
        manifests.check(function("shift", "7."))
    manifests.check(function("Flight_Delays"))


@given(
    numbers=st.lists(st.integers(0, 20), unique=True, max_size=12),
    kept=st.sets(st.integers(0, 20), max_size=2),
)
def test_old_revisions_are_all_but_those_that_are_kept_and_the_newest(
    numbers: list[int], kept: set[int]
) -> None:
    """However many there are, and wherever among them the live one and the one before it stand."""
    there = [{"metadata": {"annotations": {manifests.REVISION: f"v{number}"}}} for number in numbers]
    gone = [
        each["metadata"]["annotations"][manifests.REVISION]
        for each in deployments.old(there, {f"v{number}" for number in kept})
    ]
    others = [f"v{number}" for number in numbers if number not in kept]
    assert gone + others[len(gone) :] == others
    assert len(others) - len(gone) == min(len(others), deployments.OTHERS)


# -- what the cluster says ----------------------------------------------------------------------------------------


def pod(state: Any, last: Any = None, restarts: int = 0, **status: Any) -> dict[str, Any]:
    """A pod that is not ready, as the API server tells of it."""
    container = {"name": "function", "restartCount": restarts, "state": state, "lastState": last or {}}
    return {
        "metadata": {"name": "a"},
        "status": {"phase": "Pending", "containerStatuses": [container], **status},
    }


def printed(_: str, previous: bool) -> list[str]:
    """What a container printed, and the one before it."""
    told = {"event": "refused", "reason": "sample 0 does not prove it: prediction is 3.0, expected 99.0"}
    return (
        [f"2026-11-27T00:00:00Z {json.dumps(told)}", "2026-11-27T00:00:01Z "]
        if previous
        else ["2026-11-27T00:00:00Z killed"]
    )


REFUSED = {"terminated": {"exitCode": 3, "reason": "Error"}}
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error"}}
HUNG = {"terminated": {"exitCode": 4, "reason": "Error"}}
CRASHES = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
UNSCHEDULED = [
    {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient memory."}
]


@pytest.mark.parametrize(
    ("found", "said", "lasting"),
    [
        (pod(CRASHES, REFUSED, 1), "sample 0 does not prove it: prediction is 3.0, expected 99.0", True),
        (pod({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}), "cannot be pulled: ImagePullBackOff: not found", True),
        (pod({"waiting": {"reason": "ErrImagePull", "message": "timeout"}}), None, False),
        (pod({"waiting": {"reason": "CreateContainerConfigError", "message": "no"}}), "cannot be made", True),
        (pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), "want of memory", True),
        (pod(CRASHED), "exit code 1 (Error): killed", False),
        (pod(CRASHES, CRASHED, 3), "exit code 1 (Error)", True),
        (pod(CRASHES, HUNG, 1), "sample 0 does not prove it", True),
        (pod({"running": {}}), None, False),
        (pod({}, conditions=UNSCHEDULED), "3 Insufficient memory", False),
        (pod({}, reason="Evicted", message="disk"), "was evicted: disk", False),
    ],
)  # fmt: skip
def test_why_a_revision_is_not_ready(found: dict[str, Any], said: str | None, lasting: bool) -> None:
    """In the words of the runtime or the cluster; what may mend by itself is waited for."""
    trouble_ = trouble.of({"status": {}}, [found], printed)
    if said is None:
        assert trouble_ is None
        return
    assert trouble_ is not None
    assert said in trouble_.reason
    assert trouble_.lasting is lasting


def test_pods_that_are_ready_or_going_are_no_trouble() -> None:
    """Whatever was with them once."""
    well = pod({"running": {}}, REFUSED, 1, conditions=[{"type": "Ready", "status": "True"}])
    going = pod(CRASHES, REFUSED, 1)
    going["metadata"]["deletionTimestamp"] = "2026-11-27T00:00:00Z"
    assert trouble.of({"status": {}}, [well, going], printed) is None


@pytest.mark.parametrize(
    ("said", "lasting"), [("pods is forbidden: exceeded quota", True), ("timed out", False)]
)
def test_pods_that_cannot_be_made(said: str, lasting: bool) -> None:
    """A quota or an admission rule is told at once."""
    conditions = [{"type": "ReplicaFailure", "status": "True", "message": said}]
    found = trouble.of({"status": {"conditions": conditions}}, [], printed)
    assert found is not None
    assert said in found.reason
    assert found.lasting is lasting


# -- logs ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"))))
def test_a_log_is_what_the_container_printed(said: list[str]) -> None:
    """Its line is one line, whatever is in it; the kubelet's word on a container that is gone is none of them."""
    printed = [f"2026-11-27T15:12:18.022199802Z {line}" for line in said]
    gone = "unable to retrieve container logs for containerd://e940e064cf87"
    assert log_lines("\n".join([*printed, gone])) == printed


# -- access -------------------------------------------------------------------------------------------------------


def authority(folder: Path) -> str:
    """Certificates of those who are trusted."""
    return str(shutil.copyfile(certifi.where(), folder / "authority.crt"))


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A kubeconfig that may be changed until it is read."""
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "https://cluster.example:6443", "certificate-authority": authority(tmp_path)}}],
        "users": [{"name": "it", "user": {"token": "of-the-kubeconfig"}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return content


def rewrite(content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "changed"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", str(path))


def test_a_kubeconfig_says_where_and_who(kubeconfig: dict[str, Any]) -> None:
    """And neither its token nor anything else secret is shown."""
    found = access.find()
    assert (found.server, found.token()) == ("https://cluster.example:6443", "of-the-kubeconfig")
    assert "of-the-kubeconfig" not in repr(found)


def test_a_kubeconfig_that_trusts_anybody_is_refused(
    kubeconfig: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is deployed would go to whoever stands between."""
    kubeconfig["clusters"][0]["cluster"] = {
        "server": "https://cluster.example",
        "insecure-skip-tls-verify": True,
    }
    rewrite(kubeconfig, monkeypatch, tmp_path)
    with pytest.raises(TargetError, match="does not check who https://cluster"):
        access.find()


def test_no_cluster_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is told so, and where one would be named."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(TargetError, match=r"no cluster is known.*KUBECONFIG"):
        access.find()


def test_a_pod_is_its_service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the files that the cluster keeps new, without the library that reads kubeconfigs."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(access, "_ACCOUNT", tmp_path)
    Path(authority(tmp_path)).rename(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("first\n")
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    found = access.find()
    assert (found.server, found.token()) == ("https://[fd00::1]:443", "first")
    (tmp_path / "token").write_text("second")
    assert found.token() == "second"


def test_without_that_library_a_kubeconfig_is_told_so(
    kubeconfig: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job image has it not."""
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(TargetError, match="read by the library kubernetes, which is not here"):
        access.find()


def test_the_target_imports_no_client_before_it_needs_one() -> None:
    """It would take two seconds."""
    code = "import sys; import penstock.targets.kubernetes.target; sys.exit('kubernetes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
