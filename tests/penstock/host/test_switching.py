"""Traffic moves between revisions without a request lost."""

from __future__ import annotations

import json
import threading
from collections import Counter

import httpx
import psutil
import pytest

from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until


def test_no_request_is_lost_while_traffic_moves(host: RunningHost, make_function: MakeFunction) -> None:
    """Concurrent clients during four switches get 200 every time, from exactly the revision that says it answered."""
    revisions = {host.put(make_function(version)).json()["revision"]: float(version) for version in (1, 2)}
    first, second = revisions
    host.route(first)
    answers: Counter[tuple[int, str, float]] = Counter()
    guard, done = threading.Lock(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=host.client.base_url, trust_env=False, timeout=30) as client:
            while not done.is_set():
                answer = client.post("/functions/shift/predict", json={"x": 10.0})
                seen = answer.headers.get("x-penstock-revision", answer.text)
                with guard:
                    answers[answer.status_code, seen, answer.json().get("prediction")] += 1

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for revision in (second, first) * 2:
            assert host.route(revision).status_code == 200
            before = answers.total()
            until(
                lambda before=before: answers.total() > before + 20, "clients are answered after the switch"
            )
    finally:
        done.set()
        for client in clients:
            client.join()
    assert set(answers) == {(200, revision, 10.0 + offset) for revision, offset in revisions.items()}
    until(lambda: len(host.runtimes()) == 1, "only the live revision's process is left")


def test_two_switches_at_once(host: RunningHost, make_function: MakeFunction) -> None:
    """Racing calls are done one after another: both succeed, and pointer, status and answers agree."""
    revisions = [host.put(make_function(version)).json()["revision"] for version in (1, 2)]
    results: list[int] = []
    racers = [
        threading.Thread(target=lambda revision=revision: results.append(host.route(revision).status_code))
        for revision in revisions * 2
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert results == [200] * 4
    live = host.status()["live"]
    answer = host.predict(0.0)
    assert answer.headers["x-penstock-revision"] == live
    assert answer.json()["prediction"] == revisions.index(live) + 1


@pytest.mark.parametrize("same", [True, False], ids=["same package", "two packages"])
def test_two_uploads_at_once(host: RunningHost, make_function: MakeFunction, same: bool) -> None:
    """Racing uploads both succeed; of the same package exactly one of them made the revision."""
    packages = [make_function(1)] * 2 if same else [make_function(1), make_function(2)]
    results: list[int] = []
    racers = [
        threading.Thread(target=lambda package=package: results.append(host.put(package).status_code))
        for package in packages
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(results) == ([200, 201] if same else [201, 201])
    assert len(host.status()["revisions"]) == len({package.name for package in packages})


def test_a_request_under_way_is_answered_by_the_revision_that_began_it(
    host: RunningHost, make_function: MakeFunction
) -> None:
    """The old process stays until its last answer is given, however long after the switch that is."""
    old = host.deploy(make_function(1))
    new = host.put(make_function(2)).json()["revision"]
    process, port = _process_of(host, old)
    process.suspend()
    answers: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: answers.append(host.predict(10.0)))
    slow.start()
    until(lambda: _is_asked(port), "the request has reached the old process")
    assert host.route(new).status_code == 200
    assert host.states() == {old: "draining", new: "ready"}
    process.resume()
    slow.join(30)
    (answer,) = answers
    assert (answer.status_code, answer.json()["prediction"]) == (200, 11.0)
    assert answer.headers["x-penstock-revision"] == old
    until(lambda: host.states() == {old: "stopped", new: "ready"}, "the old process ends")


def _process_of(host: RunningHost, revision: str) -> tuple[psutil.Process, int]:
    """The process of a revision, the one that has the port which its log says, and that port."""
    log = host.client.get("/functions/shift/logs").text.splitlines()
    said = [line.partition("| ")[2] for line in log if f" {revision} out| " in line]
    port = json.loads(said[-1])["port"]
    (process,) = [it for it in host.runtimes() if port in {at.laddr.port for at in it.net_connections()}]
    return process, port


def _is_asked(port: int) -> bool:
    """Whether someone is connected to it; a suspended process has not accepted it yet, the kernel has."""
    established = [it for it in psutil.net_connections("tcp4") if it.status == psutil.CONN_ESTABLISHED]
    return any(it.laddr.port == port for it in established)
