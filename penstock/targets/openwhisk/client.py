"""Apache OpenWhisk's REST API, as far as deploying and asking functions needs it.

The protocol: https://github.com/apache/openwhisk/blob/master/core/controller/src/main/resources/apiv1swagger.json
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.targets import TargetError
from penstock.targets.asking import object_in, tries, with_faults

#: The namespace of whoever's key it is.
_OWN: Final = "_"
_LIST: Final = 200  # entities that a list has at most
_PATIENCE: Final = 75.0
#: What an activation that ended badly is answered with, beside its record: by its own fault, or by the server's.
_ENDED: Final = {500, 502}
_BLOCKING: Final = 60.0  # seconds after which a blocking call answers with the activation's id alone
#: After its time limit the server takes some 11 s more to tell that an activation was over it.
_LATE: Final = 20.0
#: Clocks that differ by no more are taken for one, as a server tells the whole second alone.
_IN_STEP: Final = timedelta(seconds=2)
#: What a sequence of some actions may take, each to its own limit: the server does not bound their sum.
_LONGEST: Final = 600.0
Kind = Literal["actions", "triggers", "rules"]
#: What is read of an entity.
_HAS: Final[Mapping[Kind, set[str]]] = {
    "actions": {"namespace", "version", "updated", "exec"},
    "triggers": {"namespace", "name"},
    "rules": {"action"},
}
_SUCCESS: Final = "success"
_ERROR: Final = "application error"


class Limits(BaseModel):
    """What the server grants this namespace; sizes in MB, times in ms, None where it does not say, `allowedKinds` where it is all.

    `storeActivations`: whether there are records of them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    invocationsPerMinute: int | None = None
    concurrentInvocations: int | None = None
    firesPerMinute: int | None = None
    minActionMemory: int | None = None
    maxActionMemory: int | None = None
    minActionTimeout: int | None = None
    maxActionTimeout: int | None = None
    maxParameterSize: str | None = None
    allowedKinds: list[str] | None = None
    storeActivations: bool = True

    @property
    def parameter_bytes(self) -> int:
        """Of this many bytes and more no value is taken; OpenWhisk's own bound where the server does not say."""
        found = re.fullmatch(r"(\d+) ?([KM]?)B?", (self.maxParameterSize or "").upper())
        return 2**20 if found is None else int(found[1]) * {"": 1, "K": 2**10, "M": 2**20}[found[2]]


@dataclass(frozen=True)
class Activation:
    """How one invocation ended: of which action, as `success`, `application error`, ..., with which result.

    `logs` has what it printed, or of a sequence the ids of its components' activations; a blocking call's answer has none. It
    began at `start` (ms since the epoch), and took `duration` ms.
    """

    id: str
    action: str
    status: str
    result: Any
    logs: tuple[str, ...] = ()
    start: int = 0
    duration: int = 0

    @property
    def succeeded(self) -> bool:
        return self.status == _SUCCESS

    @property
    def answered(self) -> bool:
        """Whether the action's own code answered, be it with an error: its container was initialised."""
        return self.status in (_SUCCESS, _ERROR)

    @property
    def error(self) -> str:
        """Why it failed, in the action's words where it has some."""
        result = self.result if isinstance(self.result, dict) else {}
        error = result.get("error", result)
        if isinstance(error, dict):
            error = with_faults(error.get("message", error), error)
        return f"{self.status} (activation {self.id}): {str(error)[:2000]}"


class OpenWhisk:
    """One namespace of a server. Every method raises TargetError, whose `status` is what the server answered with."""

    def __init__(self, url: str, auth: str) -> None:
        name, _, password = auth.partition(":")
        self._api = url.rstrip("/") + "/api/v1"
        self.url = f"{self._api}/namespaces/{_OWN}"
        #: What feeds fire this namespace's triggers with.
        self.key = auth
        self._client = httpx.Client(
            auth=(name, password), timeout=httpx.Timeout(_BLOCKING + 30.0, connect=10.0)
        )
        #: By how much the server's clock is ahead of this one.
        self._ahead = timedelta()

    def now(self) -> datetime:
        """What the server's clock shows, which times of activations are by, as far as its last answer told."""
        return datetime.now(UTC) + self._ahead

    def web_url(self, namespace: str, path: str) -> str:
        """Where a web action (`package/name`) answers with JSON."""
        return f"{self._api}/web/{quote(namespace)}/{quote(path)}.json"

    def limits(self) -> Limits:
        """What may be deployed, and how much asked."""
        answer = self._call("GET", "/limits")
        try:
            return Limits.model_validate(_json(answer))
        except ValidationError as error:
            raise _garbage(answer, str(error.errors()[0]["msg"])) from error

    def make_package(self, name: str) -> None:
        """Have the package there."""
        self._call("PUT", f"/packages/{quote(name, safe='')}", params={"overwrite": "true"}, json={})

    def actions(self, package: str) -> list[Mapping[str, Any]]:
        """The actions of a package, with their names and annotations; none where there is no such package."""
        answer = self._there(f"/packages/{quote(package, safe='')}")
        return [] if answer is None else _objects(answer, _json(answer).get("actions", []))

    def get(self, kind: Kind, path: str) -> Mapping[str, Any] | None:
        """What the server holds of an entity (an action's path is `package/name`), without its code; None where there is none."""
        answer = self._there(_path(kind, path), params={"code": "false"})
        if answer is None:
            return None
        found = _json(answer)
        if missing := sorted(_HAS[kind] - found.keys()):
            raise _garbage(answer, f"expected one of the {kind} with {', '.join(missing)}")
        return found

    def put(
        self, kind: Kind, path: str, content: Mapping[str, Any], *, again: bool = True
    ) -> Mapping[str, Any]:
        """Make an entity, or what is given of it anew; what the server then holds. Not `again`: a 409 of another writer at the same
        moment is raised, as what was read before is no more.
        """
        return _json(
            self._call("PUT", _path(kind, path), params={"overwrite": "true"}, json=content, again=again)
        )

    def delete(self, kind: Kind, path: str) -> None:
        """Take an entity away; one that is not there is no error."""
        try:
            self._call("DELETE", _path(kind, path))
        except TargetError as error:
            if error.status != 404:
                raise

    def triggers(self) -> list[str]:
        """The names of all triggers."""
        names: list[str] = []
        while True:
            params = {"limit": _LIST, "skip": len(names)}
            answer = self._call("GET", "/triggers", params=params)
            found = [str(entity["name"]) for entity in _list(answer)]
            names += found
            if len(found) < _LIST:
                return names

    def activate(self, rule: str) -> None:
        """Switch a rule on."""
        self._call("POST", _path("rules", rule), json={"status": "active"})

    def invoke(self, path: str, value: Mapping[str, Any], namespace: str = _OWN) -> Activation:
        """Ask an action, and wait for its end, however it ends."""
        answer = self._call(
            "POST",
            _path("actions", path),
            params={"blocking": "true"},
            json=value,
            ended=_ENDED,
            namespace=namespace,
        )
        if answer.status_code != 202:
            return _activation(answer)
        number = _json(answer).get("activationId")
        if not isinstance(number, str):
            raise _garbage(answer, "expected an activationId")
        return self.activation(number, _LONGEST + _LATE)

    def activation(self, number: str, seconds: float = 10.0) -> Activation:
        """The record of an activation, waited for: it is there a moment after its end, and not before."""
        for last in tries(seconds, 0.05):
            try:
                return _activation(self._call("GET", f"/activations/{number}"))
            except TargetError as error:
                if error.status != 404:
                    raise
                if last:
                    raise TargetError(
                        f"OpenWhisk has no record of the activation {number}, {seconds:g} s after it was told of it",
                        next_step="see with the operator that it stores activations, and run again",
                    ) from error
        raise AssertionError

    def activations(
        self, path: str, most: int, since: int | None = None, upto: int | None = None
    ) -> list[Activation]:
        """The latest activations of an action (`package/name`), at most so many, that began in this time (ms since the epoch)."""
        params: dict[str, str | int] = {"name": path, "limit": most, "docs": "true"}
        params |= {key: at for key, at in (("since", since), ("upto", upto)) if at is not None}
        answer = self._call("GET", "/activations", params=params)
        return [_recorded(answer, record) for record in _list(answer)]

    def _there(self, path: str, params: Mapping[str, str | int] | None = None) -> httpx.Response | None:
        """What the server says of an entity; None where it says that there is none."""
        try:
            return self._call("GET", path, params=params)
        except TargetError as error:
            if error.status == 404:
                return None
            raise

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        ended: frozenset[int] | set[int] = frozenset(),
        namespace: str = _OWN,
        again: bool = True,
    ) -> httpx.Response:
        """The answer, of a status that is a success or one of `ended`; asked again while that may help, of a 409 only with `again`."""
        for last in tries(_PATIENCE, 0.05):
            try:
                answer = self._client.request(
                    method, f"{self._api}/namespaces/{quote(namespace)}{path}", params=params, json=json
                )
            except (httpx.ConnectError, httpx.InvalidURL) as error:
                raise TargetError(
                    f"OpenWhisk at {self.url} cannot be reached: {error}",
                    next_step="see PENSTOCK_OPENWHISK_URL",
                ) from error
            except httpx.HTTPError as error:
                raise TargetError(
                    f"OpenWhisk at {self.url} did not answer {method} {path}: {error or type(error).__name__}",
                    next_step="run again: what was done is kept",
                ) from error
            self._look_at_the_clock(answer)
            if answer.is_success or (answer.status_code in ended and _is_record(answer)):
                return answer
            if last or not (answer.status_code == 429 or (again and _collided(answer))):
                raise _refused(method, path, answer)
        raise AssertionError

    def _look_at_the_clock(self, answer: httpx.Response) -> None:
        with suppress(ValueError):
            then = parsedate_to_datetime(answer.headers.get("date", ""))
            ahead = then.replace(tzinfo=UTC) - datetime.now(UTC)  # RFC 9110, 5.6.7: it is GMT
            self._ahead = ahead if abs(ahead) > _IN_STEP else timedelta()


def _path(kind: Kind, path: str) -> str:
    return f"/{kind}/" + "/".join(quote(part, safe="") for part in path.split("/"))


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    found = object_in(answer)
    if found is None:
        raise _garbage(answer, "expected a JSON object")
    return found


def _list(answer: httpx.Response) -> list[Mapping[str, Any]]:
    try:
        return _objects(answer, answer.json())
    except ValueError as error:
        raise _garbage(answer, "expected a JSON array") from error


def _objects(answer: httpx.Response, found: Any) -> list[Mapping[str, Any]]:
    """What in an answer is to be objects with names."""
    if not isinstance(found, list) or not all(isinstance(each, dict) and "name" in each for each in found):
        raise _garbage(answer, "expected a JSON array of objects with names")
    return found


def _collided(answer: httpx.Response) -> bool:
    """Whether it was refused for another writer at the same moment, and not as there is an entity of that name that it must not be."""
    return answer.status_code == 409 and "exists" not in answer.text


def _is_record(answer: httpx.Response) -> bool:
    """Whether this is an activation's record, and not an error of whatever stands before the server."""
    found = object_in(answer) or {}
    return "activationId" in found and "response" in found


def _activation(answer: httpx.Response) -> Activation:
    with suppress(ValueError):
        found = answer.json()
        if isinstance(found, list):  # a result that is an array comes without its record
            return Activation(answer.headers.get("x-openwhisk-activation-id", ""), "", _SUCCESS, found)
    return _recorded(answer, _json(answer))


def _recorded(answer: httpx.Response, record: Mapping[str, Any]) -> Activation:
    try:
        response = record["response"]
        return Activation(
            id=record["activationId"],
            action=record["name"],
            status=response["status"],
            result=response.get("result"),
            logs=tuple(record.get("logs") or ()),
            start=record["start"],
            duration=record.get("duration") or 0,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _garbage(answer, "expected the record of an activation") from error


def _garbage(answer: httpx.Response, expected: str) -> TargetError:
    return TargetError(
        f"{answer.request.method} {answer.request.url}: {answer.status_code} with {answer.text[:200]!r}: {expected}",
        next_step="see that PENSTOCK_OPENWHISK_URL is OpenWhisk's",
        status=answer.status_code,
    )


def _refused(method: str, path: str, answer: httpx.Response) -> TargetError:
    said = (object_in(answer) or {}).get("error")
    if said is None and answer.status_code == 404:
        # Of whatever stands before the server: nobody may take it for word that there is no such entity.
        found = _garbage(answer, "expected OpenWhisk's own word that it is not there")
        return TargetError(found.message, next_step=found.next_step)
    if said is None:
        said = answer.text[:200]
    return TargetError(
        f"{method} {path}: {answer.status_code}: {said}",
        next_step=_NEXT.get(answer.status_code),
        status=answer.status_code,
    )


_NEXT: Final = {
    401: "see PENSTOCK_OPENWHISK_AUTH",
    403: "see that the key of PENSTOCK_OPENWHISK_AUTH is that of its namespace",
    409: "run again: somebody else was changing it",
    413: "make the package smaller, or have the operator raise the limit",
    429: "run again in a minute, or have the operator raise the limit on activations",
}
