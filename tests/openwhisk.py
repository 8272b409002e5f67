"""A stand-in for an OpenWhisk server, honest about being one: its REST API as a real server was seen to answer.

Actions are real: each runs in a process of the function's runtime, which is initialised and asked as OpenWhisk's invoker
does it. Entities are kept in memory, of one namespace and its one key. Triggers have feeds here and are not fired, and actions
are not asked over the web: the function host does that.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from penstock_function.openwhisk import SENTINEL

AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:key"
LIMITS = {
    "invocationsPerMinute": 60, "concurrentInvocations": 30, "firesPerMinute": 60, "allowedKinds": [],
    "storeActivations": True, "maxParameterSize": "1048576 B", "minActionMemory": 128, "maxActionMemory": 512,
    "minActionTimeout": 100, "maxActionTimeout": 300000,
}  # fmt: skip
#: A record is there this much after its activation's end.
_LATER = 0.03


class Container:
    """A process of the runtime, with the one action that it was initialised with."""

    def __init__(self, executed: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "penstock_function", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        port = json.loads(self._process.stdout.readline())["port"]
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)
        value = {"name": "a", "main": "main", "binary": True, "env": {}, **executed}
        self._initialised = self._client.post("/init", json={"value": value})
        self._refused = [] if self._initialised.status_code == 200 else self._printed()
        self._alone = threading.Lock()

    def run(self, value: Any, activation: str) -> tuple[str, Any, list[str]]:
        """The status, result and logs of one activation."""
        if self._initialised.status_code != 200:
            return "action developer error", self._initialised.json(), self._refused
        deadline = str(round(time.time() * 1000) + 60_000)
        with self._alone:
            answer = self._client.post(
                "/run", json={"value": value, "activation_id": activation, "deadline": deadline}
            )
            printed = self._printed()
        result = answer.json()
        if answer.status_code != 200:
            return "action developer error", {"error": result}, printed
        failed = isinstance(result, dict) and "error" in result
        return "application error" if failed else "success", result, printed

    def _printed(self) -> list[str]:
        found = []
        for name in ("stdout", "stderr"):
            for line in getattr(self._process, name):
                if line.strip() == SENTINEL:
                    break
                found.append(f"2026-11-24T00:00:00.000Z {name}: {line.rstrip()}")
        return found

    def close(self) -> None:
        self._client.close()
        self._process.terminate()
        self._process.communicate()


class Script:
    """An action in Python, in this process."""

    def __init__(self, executed: dict[str, Any]) -> None:
        self._names: dict[str, Any] = {}
        exec(executed["code"], self._names)

    def run(self, value: Any, activation: str) -> tuple[str, Any, list[str]]:
        """As a container does it."""
        try:
            result = self._names["main"](json.loads(json.dumps(value)))
        except Exception as error:
            return "action developer error", {"error": str(error)}, []
        return "application error" if "error" in result else "success", json.loads(json.dumps(result)), []

    def close(self) -> None:
        """Nothing runs."""


class Server:
    """Packages, actions, sequences, conductors and activations; what goes wrong next is in `faults`."""

    def __init__(self) -> None:
        self.limits: dict[str, Any] = dict(LIMITS)
        self.packages: dict[str, dict[str, Any]] = {}
        self.actions: dict[str, dict[str, Any]] = {}
        self.triggers: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        #: What each feed has been told to fire, by feed and trigger; one that is not here is not there.
        self.feeds: dict[str, dict[str, dict[str, Any]]] = {"alarms/alarm": {}, "messaging/kafkaFeed": {}}
        #: What next requests get instead: (method, or method and path, answer), the first that fits a request.
        self.faults: list[tuple[str, Response]] = []
        #: What answers the next request of a method and path in the server's place.
        self.replaced: dict[str, Callable[[], Response]] = {}
        self.seen: list[tuple[str, str]] = []
        #: So many requests are done, the last of which nobody gets the answer to; then the server is away. None: it stays.
        self.requests_left: int | None = None
        self.url = ""
        #: How long blocking calls wait before they get the activation's id alone.
        self.patience = 60.0
        #: By what they were initialised with: who puts the same again does not wait for another to start.
        self._containers: dict[str, Container | Script] = {}
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """Its REST API."""
        routes = [
            Route("/limits", self._guarded(lambda request: JSONResponse(self.limits))),
            Route("/packages/{package}", self._guarded(self._put_package), methods=["PUT"]),
            Route("/packages/{package}", self._guarded(self._get_package)),
            Route("/actions/{package}/{action}", self._guarded(self._put_action), methods=["PUT"]),
            Route("/actions/{package}/{action}", self._guarded(self._get_action)),
            Route("/actions/{package}/{action}", self._guarded(self._delete_action), methods=["DELETE"]),
            Route("/actions/{package}/{action}", self._guarded(self._invoke), methods=["POST"]),
            Route("/activations", self._guarded(self._list)),
            Route("/activations/{id}", self._guarded(self._record)),
        ]
        for kind, kept in (("triggers", self.triggers), ("rules", self.rules)):
            path = f"/{kind}/{{name}}"
            routes += [
                Route(path, self._guarded(partial(self._put_named, kept)), methods=["PUT"]),
                Route(path, self._guarded(partial(self._get_named, kept))),
                Route(path, self._guarded(partial(self._delete_named, kept)), methods=["DELETE"]),
            ]
        routes += [
            Route("/triggers", self._guarded(self._list_triggers)),
            Route("/rules/{name}", self._guarded(self._switch), methods=["POST"]),
        ]
        system = Mount(
            "/api/v1/namespaces/whisk.system",
            routes=[Route("/actions/{package}/{action}", self._guarded(self._feed), methods=["POST"])],
        )
        return Starlette(routes=[Mount("/api/v1/namespaces/_", routes=routes), system])

    def clear(self) -> None:
        """Forget all entities, and what was seen of them; containers stay as they are."""
        for kept in (
            self.packages, self.actions, self.triggers, self.rules, self.records, self.faults, self.seen,
            *self.feeds.values(),
        ):  # fmt: skip
            kept.clear()
        self.limits = dict(LIMITS)
        self.requests_left = None

    def close(self) -> None:
        """End its containers."""
        for container in self._containers.values():
            container.close()

    def _guarded(self, handle: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def answered(request: Request) -> Response:
            await request.body()
            path = request.url.path.removeprefix("/api/v1/namespaces").removeprefix("/_")
            if self.requests_left == 0:
                return garbage()
            self.seen.append((request.method, path))
            if request.headers.get("authorization") != f"Basic {base64.b64encode(AUTH.encode()).decode()}":
                return refusal(401, "The supplied authentication is invalid.")
            for fault in self.faults:
                if fault[0] in (request.method, f"{request.method} {path}"):
                    self.faults.remove(fault)
                    return fault[1]
            if (instead := self.replaced.pop(f"{request.method} {path}", None)) is not None:
                return await asyncio.to_thread(instead)
            answer = await asyncio.to_thread(handle, request)
            if self.requests_left is not None:
                self.requests_left -= 1
                return answer if self.requests_left else garbage()
            return answer

        return answered

    def _put_package(self, request: Request) -> Response:
        return self._put(self.packages, request.path_params["package"], request, {})

    def _get_package(self, request: Request) -> Response:
        name = request.path_params["package"]
        if name not in self.packages:
            return missing()
        inside = [
            {
                "name": path.partition("/")[2],
                "version": action["version"],
                "annotations": action["annotations"],
            }
            for path, action in self.actions.items()
            if path.startswith(f"{name}/")
        ]
        return JSONResponse({**self.packages[name], "actions": inside})

    def _put_action(self, request: Request) -> Response:
        if request.path_params["package"] not in self.packages:
            return missing()
        path = path_of(request)
        executed = body_of(request).get("exec", {})
        code = len(executed.get("code", ""))
        if code > 48 * 2**20:
            return refusal(413, f"Entity code too large: {code}")
        if self.limits["allowedKinds"] and executed.get("kind") not in (None, *self.limits["allowedKinds"]):
            return refusal(403, f"action kind '{executed['kind']}' not allowed")
        if "components" in executed:
            inner = [each.split("/", 2)[2] for each in executed["components"]]
            if not inner or path in inner or not all(each in self.actions for each in inner):
                return refusal(400, "Sequence component does not exist.")
        return self._put(
            self.actions, path, request, {"limits": {"memory": 256, "timeout": 60000, "logs": 10}}
        )

    def _put(self, kept: dict[str, Any], path: str, request: Request, default: dict[str, Any]) -> Response:
        """A new entity, or with `overwrite` what is given of one anew."""
        with self._lock:
            others = (self.packages, self.actions, self.triggers, self.rules)
            if any(path in other for other in others if other is not kept):
                return refusal(409, "Resource by this name exists but is not in this collection.")
            before = kept.get(path)
            if before is not None and request.query_params.get("overwrite") != "true":
                return refusal(409, "resource already exists")
            major, minor, patch = (before or {"version": "0.0.0"})["version"].split(".")
            given = getattr(request.state, "given", None) or body_of(request)
            gone = given.pop("delAnnotations", ())
            given["annotations"] = list(
                {
                    each["key"]: each
                    for each in [*(before or {}).get("annotations", []), *given.get("annotations", [])]
                    if each["key"] not in gone
                }.values()
            )
            kept[path] = {
                **default, **(before or {}), **given, "name": path.rpartition("/")[2],
                "namespace": f"guest/{path}".rpartition("/")[0],
                "version": f"{major}.{minor}.{int(patch) + 1}", "updated": round(time.time() * 1000),
            }  # fmt: skip
            return JSONResponse(kept[path])

    def _get_action(self, request: Request) -> Response:
        found = self.actions.get(path_of(request))
        if found is None:
            return missing()
        executed = {name: value for name, value in found["exec"].items() if name != "code"}
        if "components" in executed:
            executed["components"] = [each.replace("/_/", "/guest/") for each in executed["components"]]
        return JSONResponse({**found, "exec": executed})

    def _delete_action(self, request: Request) -> Response:
        found = self.actions.pop(path_of(request), None)
        return missing() if found is None else JSONResponse(found)

    def _invoke(self, request: Request) -> Response:
        path = path_of(request)
        if path not in self.actions:
            return missing()
        if len(request._body) >= 2**20:
            return refusal(413, "The request content was malformed: too large")
        begun = threading.Thread(target=lambda: done.append(self._activate(path, body_of(request))))
        done: list[dict[str, Any]] = []
        begun.start()
        begun.join(self.patience)
        if not done:
            begun.join()
            return JSONResponse({"activationId": done[0]["activationId"]}, 202)
        record = {**done[0], "logs": []}
        answer = record["response"]["result"] if request.query_params.get("result") == "true" else record
        return JSONResponse(answer, 200 if record["response"]["success"] else 502)

    def _put_named(self, kept: dict[str, Any], request: Request) -> Response:
        name, given = request.path_params["name"], body_of(request)
        if kept is self.rules:
            trigger, action = (given[part].replace("/_/", "") for part in ("trigger", "action"))
            if trigger not in self.triggers or action not in self.actions:
                return refusal(400, "trigger or action does not exist")
            package, _, action = action.partition("/")
            request.state.given = {
                "trigger": {"path": "guest", "name": trigger},
                "action": {"path": f"guest/{package}", "name": action},
                "status": self.rules.get(name, {"status": "active"})["status"],
            }
        return self._put(kept, name, request, {})

    def _get_named(self, kept: dict[str, Any], request: Request) -> Response:
        found = kept.get(request.path_params["name"])
        return missing() if found is None else JSONResponse(found)

    def _delete_named(self, kept: dict[str, Any], request: Request) -> Response:
        found = kept.pop(request.path_params["name"], None)
        return missing() if found is None else JSONResponse(found)

    def _list_triggers(self, request: Request) -> Response:
        limit, skip = int(request.query_params.get("limit", 30)), int(request.query_params.get("skip", 0))
        if limit > 200:
            return refusal(400, "The value of limit is not within 0 and 200")
        return JSONResponse(list(self.triggers.values())[skip : skip + limit])

    def _switch(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.rules:
            return missing()
        self.rules[name]["status"] = body_of(request)["status"]
        return PlainTextResponse("OK")

    def _feed(self, request: Request) -> Response:
        """A feed's action, which begins to fire a trigger, or leaves off; what it cannot do is an application error."""
        fired, value = self.feeds.get(path_of(request)), body_of(request)
        if fired is None:
            return missing()
        trigger, event = value.pop("triggerName"), value.pop("lifecycleEvent")
        error = None
        if value.get("authKey") != AUTH or trigger.removeprefix("/guest/") not in self.triggers:
            error = f"no trigger {trigger} of {value.get('authKey')}"
        elif (trigger in fired) == (event == "CREATE"):
            error = f"{event} of {trigger}, which there is" if trigger in fired else f"no {trigger}"
        elif event == "CREATE" and value.get("cron") == "0 0 * * 0":
            error = f"never on Sundays: {value}"
        elif event == "CREATE":
            fired[trigger] = value
        else:
            del fired[trigger]
        record = {
            "activationId": uuid.uuid4().hex, "name": request.path_params["action"], "start": 0, "logs": [],
            "response": {
                "status": "application error" if error else "success", "success": not error,
                "result": {"error": error} if error else {},
            },
        }  # fmt: skip
        return JSONResponse(record, 502 if error else 200)

    def _activate(self, path: str, value: dict[str, Any]) -> dict[str, Any]:
        """Run an action, a sequence or a conductor with what it has others do, and keep the record of it."""
        number, start = uuid.uuid4().hex, round(time.time() * 1000)
        action = self.actions[path]
        components = action["exec"].get("components")
        conducts = any(each == {"key": "conductor", "value": True} for each in action["annotations"])
        if components is not None:
            status, result, logs = self._follow(components, value)
        elif conducts:
            status, result, logs = self._conduct(path, value)
        else:
            return self._run(path, value)
        return self._kept(path, number, start, status, result, logs)

    def _run(self, path: str, value: dict[str, Any]) -> dict[str, Any]:
        """Run an action by itself."""
        number, start = uuid.uuid4().hex, round(time.time() * 1000)
        status, result, logs = self._container(self.actions[path]["exec"]).run(value, number)
        return self._kept(path, number, start, status, result, logs)

    def _follow(self, components: list[str], value: dict[str, Any]) -> tuple[str, Any, list[str]]:
        # A real one overwrites the caller's; whether it is there without one is not known: it must not matter.
        status, result, logs = "success", {**value, "_actions": components}, []
        for component in components:
            inner = component.split("/", 2)[2]
            if inner not in self.actions:
                return "application error", {"error": "Sequence component does not exist."}, logs
            record = self._activate(inner, result)
            status, result = record["response"]["status"], record["response"]["result"]
            logs.append(record["activationId"])
            if status != "success":
                break
        return status, result, logs

    def _conduct(self, path: str, value: dict[str, Any]) -> tuple[str, Any, list[str]]:
        """Ask a conductor, then what it names, in turns, until it names nothing."""
        state: dict[str, Any] = {}
        logs = []
        while True:
            record = self._run(path, {**value, **state})
            logs.append(record["activationId"])
            status, result = record["response"]["status"], record["response"]["result"]
            if "action" not in result:
                return status, result.get("params", result), logs
            state = result.get("state", {})
            inner = result["action"].split("/", 2)[2]
            if inner not in self.actions:
                value = {"error": f"Failed to resolve action with name '{inner}' during composition."}
                continue
            record = self._activate(inner, result.get("params", {}))
            logs.append(record["activationId"])
            value = record["response"]["result"]

    def _kept(
        self, path: str, number: str, start: int, status: str, result: Any, logs: list[str]
    ) -> dict[str, Any]:
        end = round(time.time() * 1000)
        record = {
            "activationId": number, "name": path.rpartition("/")[2], "namespace": "guest", "path": f"guest/{path}",
            "start": start, "end": end, "duration": end - start, "logs": logs,
            "response": {"status": status, "success": status == "success", "result": result},
        }  # fmt: skip
        threading.Timer(_LATER, self.records.__setitem__, (number, record)).start()
        return record

    def _container(self, executed: dict[str, Any]) -> Container | Script:
        given = {name: executed[name] for name in ("code", "main") if name in executed}
        key = json.dumps(given)
        with self._lock:
            if key not in self._containers:
                made = Script if executed["kind"].startswith("python:") else Container
                self._containers[key] = made(given)
            return self._containers[key]

    def _list(self, request: Request) -> Response:
        asked = request.query_params
        since, upto = int(asked.get("since", 0)), int(asked.get("upto", 2**62))
        found = [
            each
            for each in list(self.records.values())
            if each["path"] == f"guest/{asked['name']}" and since <= each["start"] <= upto
        ]
        newest = sorted(found, key=lambda each: each["start"], reverse=True)
        return JSONResponse(newest[: int(request.query_params["limit"])])

    def _record(self, request: Request) -> Response:
        found = self.records.get(request.path_params["id"])
        return missing() if found is None else JSONResponse(found)


@contextmanager
def openwhisk() -> Iterator[Server]:
    """A server on loopback."""
    server = Server()
    serving = uvicorn.Server(uvicorn.Config(server.app(), port=0, log_level="error"))
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        while not serving.started:
            time.sleep(0.01)
        server.url = f"http://127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}"
        yield server
    finally:
        serving.should_exit = True
        thread.join()
        server.close()


def refusal(status: int, error: str) -> Response:
    """An error as OpenWhisk tells it."""
    return JSONResponse({"code": uuid.uuid4().hex, "error": error}, status)


def missing() -> Response:
    """Of what is not there."""
    return refusal(404, "The requested resource does not exist.")


def garbage() -> Response:
    """What a proxy before the server says."""
    return PlainTextResponse("upstream connect error", 502)


def path_of(request: Request) -> str:
    """An action's `package/name`."""
    return f"{request.path_params['package']}/{request.path_params['action']}"


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request, which has been read."""
    return dict(json.loads(request._body or b"{}"))
