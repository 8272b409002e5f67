"""Whatever is killed, whenever: the functions come back as they were."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from penstock.host.manifest import read_manifest
from penstock.host.server import end_orphans
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until, zip_of


def test_a_killed_host_comes_back_as_it_was(host: RunningHost, make_function: MakeFunction) -> None:
    """After SIGKILL a new host has the same revisions and live pointers, and no old process is left or used."""
    old = host.deploy(make_function(1))
    new = host.deploy(make_function(2))
    before = host.status()
    orphans = host.runtimes()
    host.kill()
    until(lambda: not any(process.is_running() for process in orphans), "runtimes die with their host")

    host.start()
    assert host.states() == {old: "stopped", new: "idle"}
    assert host.runtimes() == [], "what nobody asks for is not started"
    assert host.predict().json()["prediction"] == 3.0
    after = host.status()
    assert {key: after[key] for key in ("name", "live", "since")} == {
        key: before[key] for key in ("name", "live", "since")
    }
    assert host.states() == {old: "stopped", new: "ready"}
    assert not {process.pid for process in orphans} & {process.pid for process in host.runtimes()}


def test_a_host_killed_during_an_upload(host: RunningHost, make_function: MakeFunction) -> None:
    """A half-sent revision is never seen: not before the kill, not after; the same upload then works."""
    package = make_function(1)
    _, revision = read_manifest(package)
    body = zip_of(package)
    url = host.client.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        head = (
            f"PUT /functions/shift/revisions/{revision} HTTP/1.1\r\nHost: {url.host}\r\n"
            f"Authorization: {host.client.headers['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: len(body) // 2])
        until(lambda: any(path.endswith("package.zip") for path in host.files()), "half of it is on disk")
        assert host.client.get("/functions").json() == {"functions": []}
        host.kill()
    host.start()
    assert host.client.get("/functions").json() == {"functions": []}
    assert host.files() == set()
    assert host.put(package).status_code == 201


def test_a_host_killed_at_any_moment_of_a_deployment(host: RunningHost, make_function: MakeFunction) -> None:
    """Killed at moments spread over a deployment, the host comes back with the old or the new version, whole."""
    old = host.deploy(make_function(1))
    package = make_function(2)
    _, new = read_manifest(package)
    for pause in (0.05, 0.3, 0.8):
        code = (
            "import httpx, sys\n"
            "client = httpx.Client(base_url=sys.argv[1], headers={'Authorization': sys.argv[2]}, trust_env=False)\n"
            "path = '/functions/shift/'\n"
            "body = open(sys.argv[4], 'rb').read()\n"
            "print('go', flush=True)\n"
            "client.put(path + 'revisions/' + sys.argv[3], content=body, timeout=30)\n"
            "client.put(path + 'traffic', json={'revision': sys.argv[3]}, timeout=30)\n"
        )
        archive = host.state.parent / "package.zip"
        archive.write_bytes(zip_of(package))
        arguments = [str(host.client.base_url), host.client.headers["Authorization"], new, str(archive)]
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as deployer:
            assert deployer.stdout is not None
            deployer.stdout.readline()
            time.sleep(pause)
            host.kill()
            deployer.kill()
        host.start()
        until(lambda: host.predict().status_code == 200, "the function is back")
        status = host.status()
        assert status["live"] in (old, new)
        assert {entry["revision"] for entry in status["revisions"]} in ({old}, {old, new})
        assert host.predict(0.0).json()["prediction"] == (1.0 if status["live"] == old else 2.0)
        assert not any(path.startswith("incoming/") for path in host.files())
    assert host.deploy(package) == new
    assert host.predict(0.0).json()["prediction"] == 2.0


def test_a_crashed_function_is_started_again(host: RunningHost, make_function: MakeFunction) -> None:
    """A killed runtime is replaced; the status counts it and says why, and requests wait for the new one."""
    host.deploy(make_function(1))
    for count in (1, 2):
        (runtime,) = host.runtimes()
        runtime.kill()
        until(lambda count=count: host.status()["revisions"][0]["restarts"] == count, "it is started again")
        assert host.predict().status_code in (200, 503)
        until(lambda: host.predict().status_code == 200, "it answers again")
    assert "SIGKILL" in host.client.get("/functions/shift/logs").text


def test_a_function_that_keeps_crashing(host: RunningHost, make_function: MakeFunction) -> None:
    """Restarts wait longer and longer; meanwhile callers get 503 with Retry-After and the reason, also in the status."""
    revision = host.deploy(make_function(1))
    package = host.state / "functions" / "shift" / "revisions" / revision
    (package / "model.onnx").write_bytes(b"rotten")
    host.runtimes()[0].kill()
    until(lambda: host.status()["revisions"][0]["restarts"] >= 3, "it was tried several times")
    until(lambda: host.states()[revision] == "backoff", "it waits")
    answer = host.predict()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "model.onnx" in answer.json()["error"]
    (entry,) = host.status()["revisions"]
    assert "model.onnx" in entry["error"]
    assert entry["state"] in ("backoff", "starting")
    # Routing to it says so too, and another version takes over at once.
    assert host.route(revision).status_code in (422, 502)
    host.deploy(make_function(2))
    assert host.predict().json()["prediction"] == 3.0


def test_runtimes_of_a_dead_host_are_ended(make_function: MakeFunction, tmp_path: Path) -> None:
    """Where the kernel has not done it, a new host ends what runs on packages of its own folder, and nothing else."""
    ours, theirs = tmp_path / "state" / "incoming" / "x", tmp_path / "elsewhere"
    processes = []
    for package in (ours, theirs):
        shutil.copytree(make_function(1), package)
        command = [sys.executable, "-m", "penstock_function", "--package", str(package), "--port", "0"]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True))
    try:
        for process in processes:
            assert process.stdout is not None
            assert b"ready" in process.stdout.readline()
        end_orphans(tmp_path / "state")
        assert processes[0].poll() is not None
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_a_second_host_refuses_the_folder(host: RunningHost, make_function: MakeFunction) -> None:
    """One host a folder: the second ends with the reason and where the first is, which goes on."""
    host.deploy(make_function(1))
    command = [sys.executable, "-m", "penstock.host", "--state", str(host.state), "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "has a function host already" in second.stderr
    assert str(host.client.base_url).rstrip("/") in second.stderr
    assert "Traceback" not in second.stderr
    assert host.predict().status_code == 200


def test_a_port_that_is_taken(host: RunningHost, tmp_path: Path) -> None:
    """Said in one line, with what to do."""
    port = str(host.client.base_url.port)
    command = [sys.executable, "-m", "penstock.host", "--state", str(tmp_path / "other"), "--port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"port {port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_sigterm_ends_it_in_order(host: RunningHost, make_function: MakeFunction) -> None:
    """Requests under way are answered, children are stopped, the record is taken away and the exit code is 0."""
    host.deploy(make_function(1))
    (runtime,) = host.runtimes()
    runtime.suspend()  # so that the request below is under way for as long as we want
    url = host.client.base_url
    with (
        httpx.Client(base_url=url, trust_env=False, timeout=30) as client,
        socket.create_connection((url.host, url.port)) as connection,
    ):
        body = b'{"x": 1.0}'
        connection.sendall(
            b"POST /functions/shift/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        until(lambda: client.get("/health").status_code == 200, "the host has read the request before")
        client.close()
        assert host.process is not None
        host.process.send_signal(signal.SIGTERM)
        until(lambda: not _accepts(url), "it stops accepting")
        runtime.resume()
        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # to the end: the host closes
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"prediction":2.0' in answer
    assert host.process.wait(30) == 0
    assert not psutil.pid_exists(runtime.pid) or not runtime.is_running()
    assert not (host.state / "host.json").exists()


def _accepts(url: httpx.URL) -> bool:
    try:
        with socket.create_connection((url.host, url.port or 0), timeout=1):
            return True
    except OSError:
        return False


def test_a_host_that_is_told_to_end_while_it_starts(tmp_path: Path) -> None:
    """SIGTERM at any moment of the start is an orderly end as well: no traceback, no record left."""
    for pause in (0.3, 0.6, 0.9):
        command = [sys.executable, "-m", "penstock.host", "--state", str(tmp_path / "state"), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ}) as process:
            time.sleep(pause)
            process.terminate()
            _, errors = process.communicate(timeout=30)
        # Before Python runs any of our code, a signal ends it as it ends every program.
        assert process.returncode in (0, -signal.SIGTERM)
        assert b"Traceback" not in errors
        assert not (tmp_path / "state" / "host.json").exists()
