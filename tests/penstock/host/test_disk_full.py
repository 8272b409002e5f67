"""A full disk loses no function: the write that failed is told, and everything before it still holds."""

from __future__ import annotations

import subprocess
import sys

from tests.full_disk import full_disk
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until
from tests.penstock.rolling import FAR, breaking_package


def test_an_upload_that_does_not_fit(host: RunningHost, make_function: MakeFunction) -> None:
    """507, nothing of it stays, the live function answers; once there is room the same upload works."""
    host.deploy(make_function(1))
    package, files = make_function(2), host.files()
    with full_disk(100, host.process):
        answer = host.put(package)
        assert answer.status_code == 507
        assert "no room left" in answer.json()["error"]
        assert "free disk space" in answer.json()["next_step"]
        assert host.predict().json()["prediction"] == 2.0
    assert host.files() == files
    assert host.put(package).status_code == 201


def test_a_pointer_that_cannot_be_written(host: RunningHost, make_function: MakeFunction) -> None:
    """The switch is refused as a whole: the old revision is live in memory as on disk."""
    old = host.deploy(make_function(1))
    new = host.put(make_function(2)).json()["revision"]
    files = host.files()
    with full_disk(0, host.process):
        assert host.route(new).status_code == 507
        assert host.status()["live"] == old
        assert host.predict().json()["prediction"] == 2.0
    assert host.files() == files
    assert host.route(new).status_code == 200
    assert host.predict().json()["prediction"] == 3.0


def test_a_crash_while_the_disk_is_full(host: RunningHost, make_function: MakeFunction) -> None:
    """A function is started again all the same; its log says afterwards how much it lost."""
    host.deploy(make_function(1))
    with full_disk(0, host.process):
        host.runtimes()[0].kill()
        until(lambda: host.status()["revisions"][0]["restarts"] == 1, "it is started again")
        until(lambda: host.predict().status_code == 200, "it answers again")
    host.runtimes()[0].kill()
    until(lambda: "lines lost" in host.client.get("/functions/shift/logs").text, "the log says so")


def test_a_host_that_cannot_write_its_record(host: RunningHost, make_function: MakeFunction) -> None:
    """It does not come up half: it says what is wrong, and the functions are there when there is room again."""
    live = host.deploy(make_function(1))
    host.kill()
    command = f"ulimit -f 0; exec {sys.executable} -m penstock.host --state {host.state} --port 0"
    failed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 1
    assert "no room left while opening" in failed.stderr
    assert "Traceback" not in failed.stderr
    host.start()
    assert host.status()["live"] == live
    until(lambda: host.predict().status_code == 200, "the function is back")


def test_a_rollout_that_cannot_be_written(host: RunningHost, make_function: MakeFunction) -> None:
    """It does not begin, nor is it steered; a version that is worse is asked no more all the same, and goes back for good later."""
    old = host.deploy(make_function(1))
    bad = host.put(breaking_package(make_function, 2)).json()["revision"]
    asked = {"revision": bad, "plan": {"steps": [50], "requests": 10**9, "scores": 1}, "run": "run"}
    place = "/functions/shift/rollout"
    with full_disk(0, host.process):
        assert host.client.put(place, json=asked).status_code == 507
        assert host.status()["rollout"] is None
    assert host.client.put(place, json=asked).status_code == 200

    def left_alone() -> bool:
        before = host.status()["rollout"]["candidate"]["requests"]
        for _ in range(40):
            assert host.predict(FAR).headers["x-penstock-revision"] == old
        return bool(before and before == host.status()["rollout"]["candidate"]["requests"])

    with full_disk(0, host.process):
        assert host.client.post(f"{place}/pause").status_code == 507
        until(left_alone, "the bad version is asked no more", 60)
        assert host.status()["rollout"]["state"] == "under way"
    until(lambda: host.status()["rollout"]["state"] == "worse", "its end is on disk")
