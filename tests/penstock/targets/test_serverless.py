"""What Knative and KServe are told, and how their words are read. The targets themselves are tried on a cluster (tests/cluster)."""

from __future__ import annotations

import json
import shlex
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.host.manifest import Manifest
from penstock.targets import TargetError
from penstock.targets.kubernetes import settings
from penstock.targets.kubernetes.access import Access
from penstock.targets.kubernetes.answers import told
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.manifests import Revision, Shape, function_of
from penstock.targets.serverless import knative, kserve, manifests
from penstock.targets.serverless.gateway import Gateway
from penstock.targets.serverless.knative import Knative
from penstock.targets.serverless.kserve import KServe
from penstock.targets.serverless.platform import Platform, all_to
from penstock.targets.serverless.revisions import Revisions
from penstock.targets.serverless.target import ServerlessTarget

SHAPE = Shape(0, 0)
GIVEN = {
    settings.NAMESPACE: "functions",
    settings.IMAGE: "registry.example/penstock/function:1",
    settings.REGISTRY: "registry.example/team",
}


def made(number: int, image: str = "a") -> Revision:
    """A revision of the function."""
    return Revision(
        "flight_delays", str(number), f"v{number}-{number:012}", f"registry.example/fn@sha256:{image * 64}"
    )


# -- settings -----------------------------------------------------------------------------------------------------


def test_pods_are_as_many_as_the_platform_makes() -> None:
    """From none to as many as it gives, unless bounds are set; both may be one number, and scaling needs no metric."""
    assert settings.read(GIVEN, serverless=True).shape == SHAPE
    bounded = settings.read({**GIVEN, settings.REPLICAS: "1-9"}, serverless=True).shape
    assert (bounded.least, bounded.most, bounded.metric) == (1, 9, None)
    by_rate = settings.read({**GIVEN, settings.SCALE_ON: "requests=100"}, serverless=True).shape
    assert (by_rate.least, by_rate.most, by_rate.value) == (0, 0, "100")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({settings.SCALE_ON: "latency=50m"}, r"SCALE_ON is 'latency=50m', expected requests=100 .*Knative's own"),
        ({settings.SCALE_ON: "requests=50m"}, r"SCALE_ON is 'requests=50m'"),
        ({settings.GATEWAY: "gateway:80"}, r"GATEWAY is 'gateway:80', expected http://"),
        ({settings.REPLICAS: "9-2"}, r"smaller number first"),
    ],
)  # fmt: skip
def test_what_the_platforms_do_not_do_is_refused(changed: Mapping[str, str], said: str) -> None:
    """By its variable."""
    with pytest.raises(TargetError, match=said):
        settings.read({**GIVEN, **changed}, serverless=True)


# -- manifests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", [Knative(), KServe()])
def test_a_pod_may_do_nothing_but_answer(platform: Platform) -> None:
    """As on Kubernetes itself, said where Knative without feature flags lets it be said."""
    spec = pod_of(platform.put(None, made(1), SHAPE))
    assert spec["automountServiceAccountToken"] is False
    assert "securityContext" not in spec
    (container,) = spec["containers"]
    assert container["name"] == platform.container
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    assert "lifecycle" not in container


def pod_of(found: Object) -> Object:
    """Where an object says how pods are."""
    spec = found["spec"]
    return dict(spec["predictor"] if "predictor" in spec else spec["template"]["spec"])


@pytest.mark.parametrize("platform", [Knative(), KServe()])
def test_every_object_says_whose_it_is(platform: Platform) -> None:
    """By the labels that Kubernetes recommends; what is made of it says also of which revision."""
    found = platform.put(None, made(1), SHAPE)
    assert found["metadata"]["name"] == "flight-delays"
    assert function_of(found) == "flight_delays"
    spec = found["spec"]
    revision = spec["predictor"] if "predictor" in spec else spec["template"]["metadata"]
    assert function_of({"metadata": revision}) == "flight_delays"
    assert revision["labels"]["penstock/revision"] == "0" * 11 + "1"
    assert revision["annotations"]["penstock/revision"] == made(1).revision


def test_a_revisions_name_tells_all_of_it() -> None:
    """Knative refuses another Revision of a name that is there: another image or shape has another."""
    shapes = (SHAPE, replace(SHAPE, most=3), replace(SHAPE, memory="1Gi"))
    names = {
        knative.template(made(1, image), shape)["metadata"]["name"] for image in "ab" for shape in shapes
    }
    assert len(names) == 6
    assert all(name.startswith("flight-delays-000000000001-") and len(name) < 64 for name in names)


def test_bounds_and_rate_are_said_as_each_platform_says_them() -> None:
    """And nothing is said of what is not set, but that there may be none."""
    shape = Shape(1, 9, "requests", "100")
    scaled = {
        name: value
        for name, value in knative.template(made(1), shape)["metadata"]["annotations"].items()
        if "autoscaling" in name
    }
    assert scaled == {
        "autoscaling.knative.dev/min-scale": "1", "autoscaling.knative.dev/max-scale": "9",
        "autoscaling.knative.dev/metric": "rps", "autoscaling.knative.dev/target": "100",
    }  # fmt: skip
    said = kserve.predictor(made(1), shape)
    assert [said[name] for name in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")] == [
        1,
        9,
        "rps",
        100,
    ]
    assert "autoscaling" not in json.dumps(knative.template(made(1), SHAPE))
    assert kserve.predictor(made(1), SHAPE)["minReplicas"] == 0


def test_a_name_that_no_host_can_have_is_refused() -> None:
    """The longest fits with all that the platforms put before and after it."""
    longest = "f" * 43
    for name in (longest, longest + "f"):
        manifest = Manifest(format=1, name=name, version="7", runtime="onnx", files={})
        if name == longest:
            manifests.check(manifest)
            revision = replace(made(1), function=name)
            assert len(knative.template(revision, SHAPE)["metadata"]["name"]) < 64
            assert len(f"r{'0' * 12}-{name}") < 64
            assert len(f"latest-{name}-predictor") < 64
        else:
            with pytest.raises(TargetError, match="expected 43 characters at most"):
                manifests.check(manifest)


# -- traffic ------------------------------------------------------------------------------------------------------


def followed(found: Object, ready: str) -> Object:
    """The object as Knative's controllers leave it once they have followed."""
    traffic = [{**each, "url": f"https://{each.get('tag')}.example"} for each in found["spec"]["traffic"]]
    return {**found, "status": {"traffic": traffic, "latestReadyRevisionName": ready}}


def known(revision: Revision, *images: str) -> list[Object]:
    """Knative's Revisions of one of ours, of its own image or of these."""
    templates = [knative.template(made(int(revision.version), image), SHAPE) for image in images]
    return templates or [knative.template(revision, SHAPE)]


def share(found: Object) -> dict[str, int]:
    """What each Revision gets."""
    return {each["revisionName"]: each["percent"] for each in found["spec"]["traffic"] if each["percent"]}


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "fail", "route"]), st.integers(1, 4), st.sampled_from("ab")),
        max_size=12,
    )
)
def test_knative_is_never_told_of_a_share_but_all_of_one(steps: list[tuple[str, int, str]]) -> None:
    """Whatever is put, fails and is routed in which order: one has all, puts move nothing, and what was put has its tag."""
    platform, now = Knative(), None
    for step, number, image in steps:
        revision = made(number, image)
        name = knative.template(revision, SHAPE)["metadata"]["name"]
        if step == "route":
            if now is None:
                continue
            now = followed(platform.route(now, [(known(revision), 100)], SHAPE), name)
            assert share(now) == {name: 100}
            assert len(now["spec"]["traffic"]) == 1
            assert platform.route(now, [(known(revision), 100)], SHAPE) == now, "once is enough"
            continue
        before = now
        now = followed(platform.put(now, revision, SHAPE), name)
        assert platform.put(now, revision, SHAPE) == now, "once is enough"
        assert platform.proof(now, revision, SHAPE) == f"https://r{number:012}.example"
        assert now["spec"]["template"]["metadata"]["name"] == name
        assert list(share(now).values()) == [100]
        if before is not None:
            assert share(now) == share(before)
            if step == "fail":
                undone = platform.undo(now, before, revision, SHAPE)
                assert share(undone) == share(before)
                assert undone["spec"]["template"] == before["spec"]["template"]
                now = followed(undone, name)
        tags = [each["tag"] for each in now["spec"]["traffic"] if "tag" in each]
        assert len(tags) == len(set(tags))


def test_of_one_package_on_two_images_goes_live_what_was_put_last() -> None:
    """Though the other Revision is newer: somebody has gone back to the function image before."""
    platform, name = (
        Knative(),
        {image: knative.template(made(1, image), SHAPE)["metadata"]["name"] for image in "ab"},
    )
    shares = [(known(made(1), "a", "b"), 100)]
    now = followed(platform.put(None, made(1, "a"), SHAPE), name["a"])
    now = followed(platform.put(now, made(1, "b"), SHAPE), name["b"])
    now = platform.route(now, shares, SHAPE)
    assert share(now) == {name["b"]: 100}
    now = platform.route(platform.put(now, made(1, "a"), SHAPE), shares, SHAPE)
    assert share(now) == {name["a"]: 100}


def test_traffic_that_somebody_sends_to_the_latest_stays_where_it_is() -> None:
    """A new template would move it."""
    platform = Knative()
    now = platform.put(None, made(1), SHAPE)
    name = now["spec"]["template"]["metadata"]["name"]
    by_hand = followed(
        {**now, "spec": {**now["spec"], "traffic": [{"latestRevision": True, "percent": 100}]}}, name
    )
    assert share(platform.put(by_hand, made(2), SHAPE)) == {name: 100}


def test_a_template_that_knative_has_filled_in_is_left_as_it_is() -> None:
    """It would be another one, and Knative refuses two of one name."""
    platform = Knative()
    now = platform.put(None, made(1), SHAPE)
    filled = {**now["spec"]["template"], "spec": {**now["spec"]["template"]["spec"], "timeoutSeconds": 300}}
    now = followed({**now, "spec": {**now["spec"], "template": filled}}, "r")
    assert platform.put(now, made(1), SHAPE) == now


def on_kserve(found: Object, *traffic: Mapping[str, Any]) -> Object:
    """An InferenceService with what KServe says of its traffic."""
    return {**found, "status": {"components": {"predictor": {"traffic": list(traffic)}}}}


def test_kserve_keeps_the_rest_for_what_had_all() -> None:
    """A new revision has no share; what goes live has all; the first, which KServe gives all, is not live for that."""
    platform = KServe()
    first = platform.put(None, made(1), SHAPE)
    assert canary(first) is None
    latest = {"latestRevision": True, "tag": "latest", "url": "https://latest.example"}
    first = on_kserve(first, {**latest, "revisionName": "r1", "percent": 100})
    assert canary(platform.put(first, made(2), SHAPE)) is None, "nor is the next one"
    shares = [([revision_of(first, "r1")], 100)]
    routed = platform.route(first, shares, SHAPE)
    assert canary(routed) == 100
    assert platform.put(routed, made(1), SHAPE) == routed, "what is live is not taken back"

    second = platform.put(routed, made(2), SHAPE)
    assert canary(second) == 0
    second = on_kserve(
        second,
        {**latest, "revisionName": "r2", "percent": 0},
        {"revisionName": "r1", "percent": 100, "tag": "prev"},
    )
    assert platform.proof(second, made(2), SHAPE) == "https://latest.example"
    assert platform.undo(second, routed, made(2), SHAPE)["spec"] == routed["spec"]
    assert platform.undo(second, routed, made(3), SHAPE) == second, "another writer's is left"

    back = platform.route(second, shares, SHAPE)
    assert back["spec"] == routed["spec"], "of an older one all is made again, by what its Revision says"
    second["status"]["components"]["predictor"]["latestRolledoutRevision"] = "r1"
    shared = platform.route(second, [*shares, ([revision_of(second, "r2")], 25)], SHAPE)
    assert canary(shared) == 25
    assert platform.route(shared, shares, SHAPE) == second, "of what has the rest nothing is"


def canary(found: Object) -> int | None:
    """The share of what an InferenceService holds."""
    share: int | None = found["spec"]["predictor"].get("canaryTrafficPercent")
    return share


def revision_of(found: Object, name: str) -> Object:
    """The Knative Revision that KServe's Service of Knative makes."""
    held = found["spec"]["predictor"]
    about = {"name": name, "labels": held["labels"], "annotations": held["annotations"]}
    return {"metadata": about, "spec": {"containers": held["containers"]}}


@pytest.mark.parametrize(
    ("traffic", "named"),
    [([], None), ([{"revisionName": "a", "percent": 100}, {"revisionName": "b"}], "a"), ([{"revisionName": "a", "percent": 99}], None)],
)  # fmt: skip
def test_what_has_all_traffic(traffic: list[dict[str, Any]], named: str | None) -> None:
    """One, or nobody."""
    assert all_to(traffic) == named


# -- what the cluster says ----------------------------------------------------------------------------------------


class Cluster:
    """What an API server would find: pods and Deployments, whoever they are asked for of."""

    def __init__(self, *pods: Object) -> None:
        self._found = {"Pod": list(pods), "Deployment": []}

    def find(self, kind: str, _: Mapping[str, str]) -> list[Object]:
        """All of a kind."""
        return self._found[kind]

    def printed(self, *_: object, **__: object) -> list[str]:
        """What a runtime says that refuses its package."""
        return ['2026-11-27T00:00:00Z {"event":"refused","reason":"sample 0 does not prove it"}']


def pod(*, ready: bool, going: bool = False, ended: int | None = None) -> Object:
    """A pod as the API server tells of it."""
    state = {"running": {}} if ended is None else {"terminated": {"exitCode": ended, "reason": "Error"}}
    return {
        "metadata": {"name": "a", **({"deletionTimestamp": "now"} if going else {})},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": 0, "state": state}],
        },
    }


@pytest.mark.parametrize(
    ("ready", "pods", "live", "state", "error"),
    [
        ("True", [pod(ready=True)], True, "ready", None),
        ("True", [], True, "idle", None),
        ("True", [], False, "stopped", None),
        ("True", [pod(ready=True, going=True)], False, "draining", None),
        ("True", [pod(ready=False)], True, "starting", None),
        ("Unknown", [], False, "starting", None),
        ("False", [pod(ready=False, ended=3)], False, "backoff", "sample 0 does not prove it"),
        ("False", [], False, "backoff", "no such image"),
    ],
)  # fmt: skip
def test_a_revisions_state(ready: str, pods: list[Object], live: bool, state: str, error: str | None) -> None:
    """By its pods, and by what Knative says where these say nothing; one that is at zero is idle where it is live."""
    revision = {
        "metadata": {"name": "r", "labels": {"app.kubernetes.io/version": "7"}, "annotations": {"penstock/revision": "v7-1"}},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "no such image"}]},
    }  # fmt: skip
    found = Revisions(Cluster(*pods), "function").state(revision, live=live)  # type: ignore[arg-type]
    assert (found.state, found.error, found.version, found.revision) == (state, error, "7", "v7-1")


@pytest.mark.parametrize("platform", [Knative(), KServe()])
@pytest.mark.parametrize(
    "absent",
    [
        httpx.Response(404, text="404 page not found\n"),
        httpx.Response(
            404, json={"kind": "Status", "message": "the server could not find the requested resource"}
        ),
    ],
    ids=["group", "kind"],
)
def test_a_platform_that_is_not_there_is_told_so(
    platform: Platform, absent: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API server knows nothing of a group that is not installed, or of a kind."""
    target = target_of(platform, absent, monkeypatch)
    with pytest.raises(
        TargetError, match=rf"{platform.title} is not in this cluster, .* knows no {platform.resource}"
    ):
        target.prepare()


def target_of(
    platform: Platform, absent: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> ServerlessTarget:
    """A target whose API server answers with `absent`."""
    monkeypatch.setattr(httpx.Client, "request", lambda *_, **__: absent)
    access = Access("https://cluster.example", ssl.create_default_context(), lambda: None)
    chosen = settings.read(GIVEN, serverless=True)
    return ServerlessTarget(Api(access, chosen.namespace), chosen, platform)


@pytest.mark.parametrize("platform", [Knative(), KServe()])
def test_a_function_that_is_not_there_is_a_404(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of it."""
    absent = httpx.Response(404, json={"kind": "Status", "message": "not found"})
    target = target_of(platform, absent, monkeypatch)
    for call in (target.status, target.serving, target.logs, lambda name: target.invoke(name, {})):
        with pytest.raises(TargetError, match=f"no function shift on {platform.title}") as caught:
            call("shift")
        assert caught.value.status == 404


@pytest.mark.parametrize(
    "other",
    [
        httpx.Response(404, text="<html>nginx</html>"),
        httpx.Response(404, text="404 page not found"),
        httpx.Response(404, json={"error": "no route"}),
        httpx.Response(200, json={"ok": True}),
        httpx.Response(200, text="<html>sign in</html>"),
        httpx.Response(409, text="conflict"),
    ],
    ids=["a page", "no page", "JSON", "no object", "a login", "a conflict"],
)
@pytest.mark.parametrize("platform", [Knative(), KServe()])
def test_what_stands_before_the_api_server_says_nothing_of_what_is_there(
    platform: Platform, other: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer that has lost it, or a page to sign in: by that nothing is absent, and nothing is taken away or made anew."""
    target = target_of(platform, other, monkeypatch)
    api = target._api
    asks: list[Callable[[], object]] = [
        lambda: target.status("shift"),
        lambda: api.get("Service", "shift"),
        lambda: api.find("Pod", {}),
        lambda: api.apply({"kind": "Service", "metadata": {"name": "shift"}}),
    ]
    if other.status_code != 200:
        asks.append(lambda: api.delete("Service", "shift"))
    for ask in asks:
        with pytest.raises(TargetError) as caught:
            ask()
        assert caught.value.status is None


def test_a_page_is_no_answer_of_a_function() -> None:
    """Whatever answers with it in the function's place."""
    with pytest.raises(TargetError, match="'<html>' is no JSON"):
        told("Knative", "shift", httpx.Response(200, text="<html>"))


# -- the ingress --------------------------------------------------------------------------------------------------


class Ingress(BaseHTTPRequestHandler):
    """Answers what it was asked."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        said = {"host": self.headers["Host"], "path": self.path, "body": self.rfile.read(length).decode()}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def ingress() -> Iterator[str]:
    """A server on loopback."""
    server = HTTPServer(("127.0.0.1", 0), Ingress)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_function_is_asked_by_the_gateway_for_its_host() -> None:
    """So is it by the command line that is shown."""
    wanted = {"host": "shift.functions.example.com", "path": "/predict", "body": '{"x": 2.0}'}
    with ingress() as address:
        gateway = Gateway(address)
        assert gateway.ask("http://shift.functions.example.com", "predict", b'{"x": 2.0}').json() == wanted
        command = [*shlex.split(gateway.curl("http://shift.functions.example.com")), "-d", '{"x": 2.0}']
        assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout) == wanted


def test_without_a_gateway_it_is_asked_at_its_url() -> None:
    """And who does not answer is told, with what would help."""
    with ingress() as address:
        assert Gateway(None).ask(address, "predict", b"{}").json()["host"] == address.removeprefix("http://")
        assert Gateway(None).curl(address) == f"curl -s {address}/predict"
    with pytest.raises(TargetError, match=rf"{address} did not answer.*{settings.GATEWAY}"):
        Gateway(None).ask(address, "health")
