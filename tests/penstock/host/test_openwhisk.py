"""OpenWhisk's REST API on the host, by what a real server was seen to answer; with the processes of real functions.

That code written for OpenWhisk runs against it is shown by the OpenWhisk target in tests/penstock/targets/test_contract.py.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from penstock.host.errors import HostError
from penstock.host.limits import Limits
from penstock.host.openwhisk import actions, service
from penstock.runtimes import is_one
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.guest import AT, Guest, activation, executed, refused, sequence, serving
from tests.penstock.host.harness import RunningHost, until, zip_of


def processes(state: Path) -> list[psutil.Process]:
    """Those that run functions of a host's folder."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            command = child.cmdline()  # of a zombie: nothing
            if is_one(command) and str(state) in " ".join(command):
                found.append(child)
    return found


@pytest.fixture
def shift(guest: Guest, make_function: MakeFunction) -> Guest:
    """The namespace with `box/shift`, which answers x + 1."""
    put = guest.put(f"{AT}/actions/box/shift", json={"exec": executed(make_function(1))})
    assert put.status_code == 200, put.text
    return guest


# -- who may ask ----------------------------------------------------------------------------------------------


def test_a_key_opens_its_own_namespace_and_no_other(tmp_path: Path) -> None:
    """Without it 401, elsewhere 403; a new key ends the old one, and on disk there is a hash alone."""
    with serving(tmp_path) as host:
        one = host.put("/namespaces/one").json()["key"]
        two = host.put("/namespaces/two").json()["key"]
        host.headers.pop("Authorization")

        def ask(path: str, key: str | None) -> httpx.Response:
            auth = None if key is None else tuple(key.split(":"))
            return host.get(f"/api/v1{path}", auth=auth)  # type: ignore[arg-type]

        assert ask("/namespaces", one).json() == ["one"]
        assert ask("/namespaces/one/actions", one).json() == ask("/namespaces/_/actions", one).json() == []
        refused(ask("/namespaces/two/actions", one), 403, "not authorized")
        name, _, secret = one.partition(":")
        for wrong in (None, f"{name}:", f"{name}:{two.partition(':')[2]}", f":{secret}", f"{name}:{secret}x"):
            answer = ask("/namespaces/_/actions", wrong)
            refused(answer, 401, "authentication is invalid")
            assert answer.headers["www-authenticate"].startswith("Basic")
        for header in ("Basic", "Basic !", "Bearer x", f"Basic {name}:{secret}"):
            answer = host.get("/api/v1/namespaces", headers={"Authorization": header})
            refused(answer, 401, "authentication is invalid")
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert name.encode() in kept
        assert secret.encode() not in kept


def test_namespaces_are_the_operators(tmp_path: Path) -> None:
    """The token of the host makes, renews, lists and removes them, and a namespace's own key does not."""
    with serving(tmp_path) as host:
        guest = Guest(host)
        for method, path in (
            ("PUT", "/namespaces/x"),
            ("DELETE", "/namespaces/guest"),
            ("GET", "/namespaces"),
        ):
            assert guest.request(method, path).status_code == 401
        assert host.get("/namespaces").json() == {"namespaces": ["guest"]}
        renewed = Guest(host)
        assert guest.get(f"{AT}/packages").status_code == 401
        assert renewed.get(f"{AT}/packages").status_code == 200
        assert host.delete("/namespaces/guest").status_code == 204
        assert renewed.get(f"{AT}/packages").status_code == 401
        assert host.delete("/namespaces/guest").status_code == 404
        assert host.put("/namespaces/..%2f..%2fx").status_code in (404, 422)
        assert host.put("/namespaces/a.b").status_code == 422


# -- entities -------------------------------------------------------------------------------------------------


def test_packages(guest: Guest) -> None:
    """409 for what is there; overwriting changes what is given, merges annotations and counts; full ones are not deleted."""
    refused(guest.put(f"{AT}/packages/box", json={}), 409, "resource already exists")
    given = {"annotations": [{"key": "a", "value": 1}], "parameters": [{"key": "p", "value": 2}]}
    guest.put(f"{AT}/packages/box?overwrite=true", json=given)
    changed = guest.put(
        f"{AT}/packages/box?overwrite=true", json={"annotations": [{"key": "b", "value": 3}], "publish": True}
    ).json()
    assert (changed["version"], changed["publish"], changed["namespace"]) == ("0.0.3", True, "guest")
    assert changed["annotations"] == [{"key": "a", "value": 1}, {"key": "b", "value": 3}]
    assert changed["parameters"] == [{"key": "p", "value": 2}]
    assert (
        guest.put(f"{AT}/packages/box?overwrite=true", json={"version": "2.0.0"}).json()["version"] == "2.0.0"
    )
    assert [each["name"] for each in guest.get(f"{AT}/packages").json()] == ["box"]
    assert guest.get(f"{AT}/packages?count=true").json() == {"packages": 1}
    guest.put(f"{AT}/packages/other", json={})
    assert [each["name"] for each in guest.get(f"{AT}/packages?limit=1").json()] == ["other"]
    assert [each["name"] for each in guest.get(f"{AT}/packages?skip=1").json()] == ["box"]
    refused(guest.put(f"{AT}/packages/bound", json={"binding": {"name": "box"}}), 400, "cannot be bound")
    assert guest.delete(f"{AT}/packages/other").json()["name"] == "other"
    refused(guest.get(f"{AT}/packages/other"), 404, "does not exist")
    refused(guest.delete(f"{AT}/packages/other"), 404, "does not exist")


def test_a_package_with_actions(shift: Guest) -> None:
    """It lists them, and takes them with it only where it is told to."""
    (inside,) = shift.get(f"{AT}/packages/box").json()["actions"]
    assert (inside["name"], inside["version"]) == ("shift", "0.0.1")
    refused(shift.delete(f"{AT}/packages/box"), 409, "Package not empty (contains 1 entities)")
    assert shift.delete(f"{AT}/packages/box?force=true").status_code == 200
    refused(shift.get(f"{AT}/actions/box/shift"), 404, "does not exist")


def test_an_action_as_it_is_told(shift: Guest, make_function: MakeFunction) -> None:
    """Its package comes back as it was sent, unless it is not wanted; changing limits starts no new version of the code."""
    found = shift.get(f"{AT}/actions/box/shift").json()
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(found["exec"].pop("code")))) as archive:
        assert sorted(archive.namelist()) == ["function.json", "model.onnx", "samples.json"]
        assert json.loads(archive.read("function.json"))["version"] == "1"
    assert found["exec"] == {"kind": "blackbox", "image": "registry.example/function:1", "binary": True}
    assert found["limits"] == {"timeout": 60000, "memory": 256, "logs": 10}
    assert (found["namespace"], found["name"], found["version"]) == ("guest/box", "shift", "0.0.1")
    assert "code" not in shift.get(f"{AT}/actions/box/shift?code=false").json()["exec"]
    put = shift.put(f"{AT}/actions/box/shift?overwrite=true", json={"limits": {"memory": 512}}).json()
    assert put["limits"] == {"timeout": 60000, "memory": 512, "logs": 10}
    assert shift.get(f"{AT}/actions").json()[0]["version"] == put["version"] == "0.0.2"
    refused(
        shift.put(f"{AT}/actions/box/shift", json={"exec": executed(make_function(2))}), 409, "already exists"
    )
    assert shift.delete(f"{AT}/actions/box/shift").json()["name"] == "shift"
    refused(shift.delete(f"{AT}/actions/box/shift"), 404, "does not exist")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("none/shift", {"exec": {"kind": "sequence", "components": []}}, 404, "does not exist"),
        ("box/shift", {}, 400, "exec undefined"),
        ("box/shift", {"exec": {"kind": "python:3"}}, 400, "exec.kind"),
        ("box/shift", {"exec": {"kind": "blackbox", "image": "x"}}, 400, "exec.code must be"),
        ("box/shift", {"exec": {"kind": "blackbox", "code": "!", "binary": True}}, 400, "not base64"),
        ("box/shift", {"exec": {"kind": "blackbox", "code": "aGk=", "binary": True}}, 400, "zip archive"),
        ("box/shift", {"limits": {"timeout": 99}, **sequence("x")}, 400, "limits.timeout is 99"),
        ("box/shift", {"limits": {"timeout": 60_001}, **sequence("x")}, 400, "limits.timeout is 60001"),
        ("box/shift", {"version": "one", **sequence("x")}, 400, "version"),
        ("box/.hidden", sequence("x"), 400, "no name of an entity"),
        ("box/shift", sequence(), 400, "No component"),
        ("box/shift", sequence("none"), 400, "component does not exist"),
        ("box/shift", sequence("shift"), 400, "may not refer to itself"),
        ("box/shift", {"exec": {"kind": "sequence", "components": ["box/x"]}}, 400, "no full name"),
        ("box/shift", {"exec": {"kind": "sequence", "components": ["/other/box/x"]}}, 403, "not authorized"),
    ],
)
def test_what_is_no_action(guest: Guest, path: str, body: dict[str, Any], status: int, said: str) -> None:
    """It is refused with what is wrong, and nothing of it is there."""
    refused(guest.put(f"{AT}/actions/{path}", json=body), status, said)
    assert guest.get(f"{AT}/actions").json() == []


def test_bodies_that_are_none(shift: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad JSON, arrays as parameters, and what is too large."""
    refused(shift.put(f"{AT}/packages/x", content=b"{"), 400, "content was malformed")
    for content in (b"{", b"[1]", b"1"):
        refused(shift.post(f"{AT}/actions/box/shift", content=content), 400, "content was malformed")
    refused(shift.post(f"{AT}/actions/box/shift", json={"x": "a" * 2**20}), 413, "more than")
    refused(
        shift.put(f"{AT}/packages/x", json={"parameters": [{"key": "a", "value": "a" * 2**20}]}),
        413,
        "too large",
    )
    monkeypatch.setattr(service, "MAX_CODE", 3)
    code = {"kind": "blackbox", "code": "aGVsbG8=", "binary": True}
    refused(shift.put(f"{AT}/actions/box/x", json={"exec": code}), 413, "at most 3")


def test_what_is_not_there(guest: Guest) -> None:
    """Names, and a HEAD: 404 as OpenWhisk tells it."""
    for path in ("/actions/x", "/actions/box/x", "/packages/x", "/activations/x", "/rules/x", "/triggers/x"):
        refused(guest.get(f"{AT}{path}"), 404, "does not exist")
    assert guest.head(f"{AT}/actions").status_code == 404
    refused(guest.post(f"{AT}/actions/box/x", json={}), 404, "does not exist")
    for query in ("limit=1000", "limit=-1", "limit=x", "skip=x", "count=maybe"):
        refused(guest.get(f"{AT}/activations?{query}"), 400, query.partition("=")[0])


def test_limits(guest: Guest) -> None:
    """What an action may have, in the words that clients read."""
    found = guest.get(f"{AT}/limits").json()
    assert found["allowedKinds"] == ["blackbox", "sequence"]
    assert found["maxParameterSize"] == "1048576 B"
    assert (found["minActionMemory"], found["maxActionMemory"]) == (128, 2048)
    assert (found["minActionTimeout"], found["maxActionTimeout"]) == (100, 60_000)


# -- activations ----------------------------------------------------------------------------------------------


def test_ways_to_ask(shift: Guest) -> None:
    """The result alone, the record, or its number; each leaves a record with result and logs."""
    url = f"{AT}/actions/box/shift"
    alone = shift.post(f"{url}?blocking=true&result=true", json={"x": 2.0})
    assert (alone.status_code, alone.json()["prediction"]) == (200, 3.0)
    whole = shift.post(f"{url}?blocking=true", json={"x": 3.0}).json()
    assert (whole["name"], whole["namespace"], whole["version"]) == ("shift", "guest", "0.0.1")
    assert whole["response"]["status"] == "success"
    assert (whole["response"]["success"], whole["response"]["result"]["prediction"]) == (True, 4.0)
    assert whole["logs"] == []
    later = shift.post(url, json={"x": 4.0})
    assert later.status_code == 202
    (number,) = later.json().values()
    assert later.headers["x-openwhisk-activation-id"] == number
    assert activation(shift, number)["response"]["result"]["prediction"] == 5.0
    assert shift.get(f"{AT}/activations/{number}/result").json()["result"]["prediction"] == 5.0
    assert isinstance(shift.get(f"{AT}/activations/{number}/logs").json()["logs"], list)

    found = shift.get(f"{AT}/activations?name=box/shift&limit=2&docs=true").json()
    assert [each["response"]["result"]["prediction"] for each in found] == [5.0, 4.0]
    (oldest,) = shift.get(f"{AT}/activations?skip=2").json()
    assert oldest["activationId"] == alone.headers["x-openwhisk-activation-id"]
    assert oldest["statusCode"] == 0
    assert "response" not in oldest
    assert shift.get(f"{AT}/activations?name=box/other").json() == []
    assert shift.get(f"{AT}/activations?limit=0&count=true").json() == {"activations": 3}
    until_first = f"upto={oldest['start']}&since={oldest['start']}"
    assert len(shift.get(f"{AT}/activations?{until_first}").json()) >= 1


def test_an_application_error(shift: Guest) -> None:
    """What the runtime refuses is a 502 whose record says so, in its words; the log of the refusal is the activation's."""
    answer = shift.post(f"{AT}/actions/box/shift?blocking=true", json={"x": "far"})
    assert answer.status_code == 502
    record = answer.json()
    assert record["response"]["status"] == "application error"
    assert record["response"]["result"]["error"]["faults"][0]["field"] == "x"
    logs = activation(shift, record["activationId"])["logs"]
    assert any('"event":"refused"' in line and record["activationId"] in line for line in logs)
    assert not any("XXX_THE_END" in line for line in logs)


def test_a_package_that_does_not_prove_itself(guest: Guest, make_function: MakeFunction) -> None:
    """As with OpenWhisk the action is there, and its activation an error of its developer, until better code comes."""
    url = f"{AT}/actions/box/shift"
    bad = {"exec": executed(make_function(1, sample=99.0))}
    assert guest.put(url, json=bad).status_code == 200
    answer = guest.post(f"{url}?blocking=true", json={"x": 1.0})
    assert answer.status_code == 502
    assert answer.json()["response"]["status"] == "action developer error"
    assert "99" in answer.json()["response"]["result"]["error"]
    assert (
        guest.put(f"{url}?overwrite=true", json={"exec": executed(make_function(1))}).json()["version"]
        == "0.0.2"
    )
    assert guest.post(f"{url}?blocking=true&result=true", json={"x": 1.0}).json()["prediction"] == 2.0


def test_parameters_have_an_order(guest: Guest, make_function: MakeFunction) -> None:
    """Those of the package, of the action, of the caller: the later one takes precedence."""
    given = [{"key": "x", "value": 10.0}]
    guest.put(f"{AT}/packages/box?overwrite=true", json={"parameters": given})
    url = f"{AT}/actions/box/shift"
    guest.put(url, json={"exec": executed(make_function(1))})
    asked = f"{url}?blocking=true&result=true"
    assert guest.post(asked).json()["prediction"] == 11.0
    guest.put(f"{url}?overwrite=true", json={"parameters": [{"key": "x", "value": 20.0}]})
    assert guest.post(asked, json={}).json()["prediction"] == 21.0
    assert guest.post(asked, json={"x": 30.0}).json()["prediction"] == 31.0


def test_sequences(shift: Guest, make_function: MakeFunction) -> None:
    """Its logs are its components' activations, which name it as their cause; the first that fails is the last."""
    shift.put(f"{AT}/actions/box/alias", json=sequence("shift"))
    shown = shift.get(f"{AT}/actions/box/alias").json()["exec"]
    assert shown == {"kind": "sequence", "components": ["/guest/box/shift"]}
    record = shift.post(f"{AT}/actions/box/alias?blocking=true", json={"x": 2.0}).json()
    assert record["response"]["result"]["prediction"] == 3.0
    (inner,) = activation(shift, record["activationId"])["logs"]
    component = activation(shift, inner)
    assert (component["name"], component["cause"]) == ("shift", record["activationId"])

    # What the first gives has no x, so that the second refuses it.
    shift.put(f"{AT}/actions/box/long", json=sequence("alias", "shift", "shift"))
    answer = shift.post(f"{AT}/actions/box/long?blocking=true", json={"x": 2.0})
    assert (answer.status_code, answer.json()["response"]["status"]) == (502, "application error")
    assert len(activation(shift, answer.json()["activationId"])["logs"]) == 2

    refused(
        shift.put(f"{AT}/actions/box/alias?overwrite=true", json=sequence("long")), 400, "refer to itself"
    )
    refused(shift.put(f"{AT}/actions/box/many", json=sequence(*["shift"] * 51)), 400, "Too many actions")
    shift.delete(f"{AT}/actions/box/shift")
    gone = shift.post(f"{AT}/actions/box/alias?blocking=true&result=true", json={"x": 1.0})
    assert (gone.status_code, gone.json()) == (502, {"error": "Sequence component does not exist."})


def test_a_blocking_call_has_an_end(shift: Guest) -> None:
    """After its own timeout it answers with the activation's number; that goes on. What is no timeout is a 400."""
    url = f"{AT}/actions/box/shift?blocking=true"
    answer = shift.post(f"{url}&timeout=1", json={"x": 1.0})
    assert answer.status_code == 202
    assert activation(shift, answer.json()["activationId"])["response"]["success"]
    for timeout in ("0", "60001", "x"):
        refused(shift.post(f"{url}&timeout={timeout}", json={}), 400, "timeout")


def the_process(state: Path) -> psutil.Process:
    """The one that runs; those of earlier tests may be ending."""
    until(lambda: len(processes(state)) == 1, "one process runs")
    return processes(state)[0]


def test_an_activation_over_its_limit(shift: Guest, state: Path) -> None:
    """It ends as the developer's error, which names the limit, and its process ends with it: the next one is answered by another."""
    url = f"{AT}/actions/box/shift"
    assert shift.post(f"{url}?blocking=true", json={"x": 1.0}).status_code == 200
    shift.put(f"{url}?overwrite=true", json={"limits": {"timeout": 200}})
    process = the_process(state)
    process.suspend()  # as one whose code hangs: it never answers again
    answer = shift.post(f"{url}?blocking=true&result=true", json={"x": 1.0})
    said = {"error": "The action exceeded its time limits of 200 milliseconds."}
    assert (answer.status_code, answer.json()) == (502, said)
    process.wait(20)
    shift.put(f"{url}?overwrite=true", json={"limits": {"timeout": 60000}})
    assert shift.post(f"{url}?blocking=true", json={"x": 1.0}).status_code == 200


def test_a_process_that_dies(shift: Guest, state: Path) -> None:
    """Who comes next is answered by another one, which is initialised anew."""
    url = f"{AT}/actions/box/shift?blocking=true"
    shift.post(url, json={"x": 1.0})
    the_process(state).kill()
    until(lambda: shift.post(url, json={"x": 1.0}).status_code == 200, "it is answered again")


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"[" * 5000],
    ids=["NaN", "infinite", "too large", "half", "deep"],
)
def test_what_cannot_be_written_again_is_not_read(guest: Guest, value: bytes) -> None:
    """Kept, it would be in every list, and none could be told: an event, an annotation and a web action's body are refused."""
    guest.put(f"{AT}/triggers/t", json={})
    event = b'{"y": %s}' % value
    refused(guest.request("POST", f"{AT}/triggers/t", content=event), 400, "malformed")
    package = b'{"annotations": [{"key": "a", "value": %s}]}' % value
    refused(guest.request("PUT", f"{AT}/packages/p", content=package), 400, "malformed")
    assert [each["name"] for each in guest.get(f"{AT}/packages").json()] == ["box"]
    assert guest.get(f"{AT}/activations?docs=true").json() == []


def test_numbers_with_zeros_before_them(guest: Guest) -> None:
    """They are what they are, however many there are."""
    assert guest.get(f"{AT}/activations?limit={'0' * 30}7").status_code == 200
    for given in ("0" * 17 + "9" * 30, "0" * 17 + "9" * 5000, "0" * 19 + "99999"):
        refused(guest.get(f"{AT}/activations?limit={given}"), 400, "limit")


def test_parameters_are_counted_in_bytes(guest: Guest) -> None:
    """Of UTF-8."""
    large = {"parameters": [{"key": "a", "value": "é" * 600_000}]}
    refused(guest.put(f"{AT}/packages/p", json=large), 413, "too large")


def test_a_name_that_stands_for_none(guest: Guest) -> None:
    """In the path of a web action."""
    refused(guest.put(f"{AT}/packages/default", json={}), 400, "reserved")


def test_a_namespace_made_again_has_nothing_of_the_one_before(tmp_path: Path) -> None:
    """Nor what was recorded of that after its end."""
    with serving(tmp_path) as host:
        guest = Guest(host)
        guest.put(f"{AT}/triggers/t", json={})
        record = tmp_path / "openwhisk" / "activations.db"
        assert host.delete("/namespaces/guest").status_code == 204
        with sqlite3.connect(record) as database:
            database.execute("insert into activations values ('1', 'guest', 'a', 1, '{}')")
        assert Guest(host).get(f"{AT}/activations?docs=true").json() == []


def test_too_many_at_once(shift: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """429, and nothing of it is recorded."""
    monkeypatch.setattr(service, "MAX_CONCURRENT", 0)
    refused(shift.post(f"{AT}/actions/box/shift", json={"x": 1.0}), 429, "Too many concurrent requests")
    monkeypatch.undo()
    assert shift.get(f"{AT}/activations?count=true").json() == {"activations": 0}


def test_a_result_that_is_too_large(shift: Guest) -> None:
    """It is not passed on."""
    many = {"records": [{"x": 1}] * 60_000}
    answer = shift.post(f"{AT}/actions/box/shift?blocking=true&result=true", json=many)
    assert answer.status_code == 502
    assert answer.json() == {
        "error": f"The action produced a response of more than {actions.MAX_RESULT} bytes."
    }


def test_the_docs_examples(host: RunningHost, make_function: MakeFunction, tmp_path: Path) -> None:
    """docs/host.md, line by line: the key from a shell, an action from Python, the web and a trigger from a shell."""
    page = (Path(__file__).parents[3] / "docs/host.md").read_text()
    shell = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    python = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0]
    url = str(host.client.base_url).rstrip("/")

    def said(command: list[str]) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    first = shell[1].replace("http://127.0.0.1:8793", url).replace("DIR", str(host.state))
    key = json.loads(said(["bash", "-c", first]))["key"]
    (tmp_path / "package.zip").write_bytes(zip_of(make_function(1)))
    assert "'prediction': 3.0" in said([sys.executable, "-c", f"host, key = {url!r}, {key!r}\n{python}"])
    told = said(["bash", "-ec", f"host={url} key={key}\n{shell[2]}"])
    assert '"prediction":3.0' in told
    assert re.search(r'{"activationId":"[0-9a-f]{32}"}$', told)


# -- what stays -----------------------------------------------------------------------------------------------


def test_another_host_on_the_same_folder(tmp_path: Path, make_function: MakeFunction) -> None:
    """It has keys, entities and activations, starts nothing until it is asked, and clears away what a crash left."""
    with serving(tmp_path) as host:
        guest = Guest(host)
        guest.put(f"{AT}/actions/shift", json={"exec": executed(make_function(1))})
        number = guest.post(f"{AT}/actions/shift?blocking=true", json={"x": 1.0}).json()["activationId"]
    folder = tmp_path / "openwhisk" / "functions"
    (mine,) = folder.iterdir()
    (folder / "a-left-behind" / "revisions" / "v1-0123456789ab").mkdir(parents=True)
    (mine / "revisions" / "v9-0123456789ab").mkdir()
    with serving(tmp_path, replace(Limits(), processes=1)) as host:
        guest = guest.of(host)
        assert processes(tmp_path) == []
        assert [path.name for path in folder.iterdir()] == [mine.name]
        assert len(list((mine / "revisions").iterdir())) == 1
        assert guest.get(f"{AT}/activations/{number}").json()["response"]["result"]["prediction"] == 2.0
        answer = guest.post(f"{AT}/actions/shift?blocking=true&result=true", json={"x": 2.0})
        assert answer.json()["prediction"] == 3.0


def test_a_namespace_damaged_by_hand(tmp_path: Path) -> None:
    """The host does not start: it would take the actions for ones that nobody knows, and clear them away."""
    with serving(tmp_path) as host:
        Guest(host)
    (tmp_path / "openwhisk" / "namespaces" / "guest.json").write_text("{")
    with pytest.raises(HostError, match=r"guest\.json is not the record of a namespace"), serving(tmp_path):
        pass
