"""From a package to a live answer and back, over the host's own API."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until


def test_a_package_becomes_a_live_function(host: RunningHost, make_function: MakeFunction) -> None:
    """Put proves and stores, traffic makes live, predict answers, and the status says all of it."""
    put = host.put(make_function(1))
    assert put.status_code == 201
    revision = put.json()["revision"]
    assert host.predict().status_code == 404

    assert host.route(revision).json()["live"] == revision

    answer = host.predict(2.0)
    assert (answer.status_code, answer.json()["prediction"]) == (200, 3.0)
    assert answer.headers["x-penstock-revision"] == revision
    status = host.status()
    assert status["name"] == "shift"
    assert status["live"] == revision
    assert status["since"]
    assert status["url"] == str(host.client.base_url.join("/functions/shift"))
    assert status["revisions"] == [
        {"revision": revision, "version": "1", "state": "ready", "restarts": 0, "error": None}
    ]
    assert host.client.get("/functions").json() == {"functions": [status]}


def test_putting_again_changes_nothing(host: RunningHost, make_function: MakeFunction) -> None:
    """The same package a second time is 200 instead of 201, live or not, and starts no second process."""
    first, second = make_function(1), make_function(2)
    host.deploy(first)
    runtimes = {process.pid for process in host.runtimes()}
    assert host.put(first).status_code == 200
    assert {process.pid for process in host.runtimes()} == runtimes
    assert [host.put(second).status_code for _ in range(2)] == [201, 200]
    assert host.predict().json()["prediction"] == 2.0


def test_only_the_live_revision_is_kept_running(host: RunningHost, make_function: MakeFunction) -> None:
    """After a switch the old revision's process ends; on the way back it is started and proven again."""
    old = host.deploy(make_function(1))
    new = host.deploy(make_function(2))
    until(lambda: host.states() == {old: "stopped", new: "ready"}, "the old process ends")
    assert len(host.runtimes()) == 1

    assert host.route(old).status_code == 200
    assert host.predict().json()["prediction"] == 2.0
    assert host.status()["live"] == old


def test_removing(host: RunningHost, make_function: MakeFunction) -> None:
    """A revision and a function go with their files and processes; the live revision does not."""
    old = host.deploy(make_function(1))
    new = host.deploy(make_function(2))
    assert host.client.delete(f"/functions/shift/revisions/{new}").status_code == 409
    assert host.client.delete(f"/functions/shift/revisions/{old}").status_code == 204
    assert host.client.delete(f"/functions/shift/revisions/{old}").status_code == 404
    assert [entry["revision"] for entry in host.status()["revisions"]] == [new]
    assert host.predict().status_code == 200

    assert host.client.delete("/functions/shift").status_code == 204
    assert host.runtimes() == []
    assert host.files() == set()
    assert list((host.state / "logs").iterdir()) == []
    assert host.client.get("/functions/shift").status_code == 404
    assert host.client.delete("/functions/shift").status_code == 404


def test_a_function_goes_with_its_only_revision(host: RunningHost, make_function: MakeFunction) -> None:
    """A name that nothing was ever routed to does not stay behind empty."""
    revision = host.put(make_function(1)).json()["revision"]
    assert host.client.delete(f"/functions/shift/revisions/{revision}").status_code == 204
    assert host.client.get("/functions").json() == {"functions": []}
    assert host.files() == set()


def test_routing_to_what_is_not_there(host: RunningHost, make_function: MakeFunction) -> None:
    """An unknown function, an unknown revision and a malformed body are told apart."""
    missing = "v9-0123456789ab"
    assert host.route(missing).status_code == 404
    live = host.deploy(make_function(1))
    assert "has no revision v9" in host.route(missing).json()["error"]
    traffic = "/functions/shift/traffic"
    assert host.client.put(traffic, json={"revision": live, "weight": 5}).status_code == 422
    assert host.client.put(traffic, content=b"{").status_code == 422
    assert host.status()["live"] == live


def test_two_functions_side_by_side(host: RunningHost, make_function: MakeFunction) -> None:
    """Functions share a host and nothing else."""
    host.deploy(make_function(1))
    package = make_function(5, "other")
    revision = host.put(package, name="other").json()["revision"]
    assert host.route(revision, name="other").status_code == 200
    assert host.predict().json()["prediction"] == 2.0
    assert host.predict(name="other").json()["prediction"] == 6.0


def test_its_pages_are_passed_on(host: RunningHost, make_function: MakeFunction) -> None:
    """Health, metrics, the OpenAPI document and its page come from the live function, and their links hold there."""
    host.deploy(make_function(1))
    assert host.client.get("/functions/shift/health").json()["version"] == "1"
    assert host.client.get("/functions/shift/metrics").status_code == 200
    page = host.client.get("/functions/shift/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert 'href="openapi.json"' in page.text
    document = host.client.get(page.url.join("openapi.json")).json()
    assert "/predict" in document["paths"]
    predict = str(page.url.join(document["servers"][0]["url"])).rstrip("/") + "/predict"
    assert host.client.post(predict, json={"x": 1.0}).json()["prediction"] == 2.0


def test_the_open_inference_protocol_is_passed_on(host: RunningHost, make_function: MakeFunction) -> None:
    """A client of the protocol takes the function's URL as its server's; a path that leads away leads nowhere."""
    host.deploy(make_function(1))
    assert host.client.get("/functions/shift/v2/health/ready").json() == {"ready": True}
    told = host.client.get("/functions/shift/v2/models/shift/versions/1").json()
    assert [each["name"] for each in told["inputs"]] == ["x"]
    tensor = {"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, None]}
    answer = host.client.post("/functions/shift/v2/models/shift/infer", json={"inputs": [tensor]})
    assert (answer.status_code, answer.json()["model_version"]) == (200, "1")
    assert answer.json()["outputs"][0]["data"][0] == 2.0
    for path in ("v2/../predict", "v2/%2e%2e/health", "v2/models/é/ready", "v2x"):
        assert host.client.get(f"/functions/shift/{path}").status_code in (404, 405)


def test_the_log_keeps_what_a_function_printed(host: RunningHost, make_function: MakeFunction) -> None:
    """It names the revision of each line, is cut to what was asked for, and refuses nonsense."""
    revision = host.deploy(make_function(1))
    lines = host.client.get("/functions/shift/logs").text.splitlines()
    assert any(f" {revision} out| " in line and '"ready"' in line for line in lines)
    assert len(host.client.get("/functions/shift/logs?lines=1").text.splitlines()) == 1
    for wrong in ("0", "-1", "many", "100001", "1" * 5000):
        assert host.client.get("/functions/shift/logs", params={"lines": wrong}).status_code == 422
    assert host.client.get("/functions/none/logs").status_code == 404


def test_a_function_refuses_what_does_not_fit(host: RunningHost, make_function: MakeFunction) -> None:
    """Its own 422 reaches the caller as it is."""
    host.deploy(make_function(1))
    answer = host.client.post("/functions/shift/predict", json={"x": "far"})
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["field"] == "x"


def test_a_zip_made_by_hand(host: RunningHost, make_function: MakeFunction, tmp_path: Path) -> None:
    """Compressed, in another order, with an entry for a folder: it is the same revision."""
    package = make_function(1)
    path = tmp_path / "by-hand.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("extra")
        for file in sorted(package.iterdir(), reverse=True):
            archive.write(file, file.name)
    revision = host.put(package).json()["revision"]
    assert (
        host.client.put(f"/functions/shift/revisions/{revision}", content=path.read_bytes()).status_code
        == 200
    )
