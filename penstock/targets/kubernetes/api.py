"""The API server of a cluster, as far as functions need it: manifests applied server-side, pods looked at, services asked.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import httpx

from penstock.targets import TargetError
from penstock.targets.asking import object_in, tries
from penstock.targets.kubernetes.access import Access

Object = Mapping[str, Any]

#: Who owns the fields that we set.
MANAGER: Final = "penstock"
_KINDS: Final[Mapping[str, str]] = {
    "Deployment": "apis/apps/v1/{}/deployments",
    "EndpointSlice": "apis/discovery.k8s.io/v1/{}/endpointslices",
    "HTTPRoute": "apis/gateway.networking.k8s.io/v1/{}/httproutes",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/{}/horizontalpodautoscalers",
    "InferenceService": "apis/serving.kserve.io/v1beta1/{}/inferenceservices",
    "KnativeRevision": "apis/serving.knative.dev/v1/{}/revisions",
    "KnativeService": "apis/serving.knative.dev/v1/{}/services",
    "NetworkPolicy": "apis/networking.k8s.io/v1/{}/networkpolicies",
    "Pod": "api/v1/{}/pods",
    "PodDisruptionBudget": "apis/policy/v1/{}/poddisruptionbudgets",
    "Service": "api/v1/{}/services",
}
#: How the API server writes a line's time (RFC 3339).
_TIMED: Final = re.compile(r"\d{4}-\d\d-\d\dT")
_FORBIDDEN: Final = 403
#: Somebody else wrote meanwhile.
CONFLICT: Final = 409
#: Of its own trouble, or of what stands before it; what we ask is the same however often it is asked.
_AGAIN: Final = {429, 500, 502, 503, 504}
#: What it says of a kind that it does not know, and so may whatever stands before it say of anything.
_NO_SUCH_KIND: Final = "404 page not found"
_PATIENCE: Final = 60.0
_TIMEOUT: Final = httpx.Timeout(90.0, connect=10.0)
#: For one pod to say what it counts: another look follows.
_GLANCE: Final = 5.0


class UnknownKind(TargetError):
    """The API server, or what stands before it, has no such page: that of a kind that it knows would be there."""


def is_unknown(error: TargetError) -> bool:
    """Whether a kind is not there, by a request of its list or to make one of it: as a whole group, or by itself."""
    return isinstance(error, UnknownKind) or error.status == 404


class Api:
    """One namespace. Every method raises TargetError, whose `status` is what the server answered with."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.namespace = namespace
        self._access = access
        self._client = httpx.Client(base_url=access.server, verify=access.tls, timeout=_TIMEOUT)

    def apply(self, manifest: Object) -> Object:
        """Make an object as the manifest has it, or set of one that is there what the manifest says.

        With a resourceVersion in it, one that somebody else has written since is a TargetError (CONFLICT).
        """
        return self._call(
            "PATCH",
            self._path(manifest["kind"], manifest["metadata"]["name"]),
            params={"fieldManager": MANAGER, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(manifest),
        )

    def merge(self, kind: str, name: str, patch: Object) -> Object:
        """Set some fields of an object, which are then nobody's by a manifest."""
        return self._call(
            "PATCH",
            self._path(kind, name),
            params={"fieldManager": f"{MANAGER}-scale"},
            headers={"Content-Type": "application/merge-patch+json"},
            content=json.dumps(patch),
        )

    def change(self, kind: str, name: str, edit: Callable[[Object | None], Object]) -> Object:
        """Write what `edit` makes of an object, or of None where there is none; anew where somebody else wrote meanwhile.

        https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
        """
        for last in tries(_PATIENCE, 0.2):
            before = self.get(kind, name)
            after = edit(before)
            if after == before:
                return after
            try:
                if before is not None:
                    return self.replace(kind, after)
                return self._write("POST", self._path(kind), after)
            except TargetError as error:
                if error.status != CONFLICT or last:
                    raise
        raise AssertionError

    def replace(self, kind: str, found: Object) -> Object:
        """Write an object that was read; one that somebody else has written since is a TargetError (CONFLICT)."""
        return self._write("PUT", self._path(kind, found["metadata"]["name"]), found)

    def get(self, kind: str, name: str) -> Object | None:
        """An object; None where there is none."""
        try:
            return self._call("GET", self._path(kind, name))
        except TargetError as error:
            if error.status == 404:
                return None
            raise

    def find(self, kind: str, labels: Mapping[str, str]) -> list[Object]:
        """The objects that have all of these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        path = self._path(kind)
        found = self._call("GET", path, params={"labelSelector": selector})
        items = found.get("items")
        if items is None and str(found.get("kind")).endswith("List"):  # as Go may write an empty one
            return []
        if not isinstance(items, list):
            raise self._no_object("GET", path, str(items), "a list of objects")
        return items

    def delete(self, kind: str, name: str) -> None:
        """Take an object away, and what it owns after it; one that is not there is no error."""
        try:
            self._call("DELETE", self._path(kind, name), params={"propagationPolicy": "Background"})
        except TargetError as error:
            if error.status != 404:
                raise

    def printed(self, pod: str, container: str, lines: int, *, previous: bool = False) -> list[str]:
        """The last lines that a pod's container printed, each after its time; none where there is no such container."""
        params = {
            "container": container,
            "tailLines": str(lines),
            "timestamps": "true",
            "previous": str(previous).lower(),
        }
        try:
            return log_lines(self._answer("GET", f"{self._path('Pod', pod)}/log", params=params).text)
        except TargetError as error:
            if error.status in (400, 404):  # not begun yet, or not there any more
                return []
            raise

    def last_printed(self, pods: Iterable[Object], container: str, lines: int) -> list[str]:
        """The last lines that this container of all these pods printed, in the order of their times."""
        printed = (line for pod in pods for line in self.printed(pod["metadata"]["name"], container, lines))
        return sorted(printed)[-lines:]

    def ask(self, service: str, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        """What one of the pods behind a service answers, be it a refusal; asked once, by way of the API server."""
        where = f"{self._path('Service', f'{service}:http')}/proxy/{path}"
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self._send(method, where, headers=headers, content=body)
        if not answer.is_success and (said := _status(answer)):
            status = answer.status_code
            next_step = "deploy it first" if status == 404 else _next_step(status, self.namespace)
            raise TargetError(f"{method} {where}: {status}: {said}", next_step=next_step, status=status)
        return answer

    def metrics(self, pod: str, port: int) -> str | None:
        """What a pod counts, by way of the API server; None where it does not say so now."""
        where = f"{self._path('Pod', f'{pod}:{port}')}/proxy/metrics"
        try:
            answer = self._send("GET", where, timeout=_GLANCE)
        except TargetError:
            return None
        if answer.status_code == _FORBIDDEN and _status(answer):
            raise TargetError(
                f"GET {where}: {_FORBIDDEN}: {_status(answer)}",
                next_step=_next_step(_FORBIDDEN, self.namespace),
                status=_FORBIDDEN,
            )
        return answer.text if answer.is_success else None

    def _write(self, method: str, path: str, found: Object) -> Object:
        return self._call(
            method,
            path,
            params={"fieldManager": MANAGER},
            headers={"Content-Type": "application/json"},
            content=json.dumps(found),
        )

    def _path(self, kind: str, name: str | None = None) -> str:
        place = "/" + _KINDS[kind].format(f"namespaces/{self.namespace}")
        return place if name is None else f"{place}/{name}"

    def _call(self, method: str, path: str, **request: Any) -> Object:
        answer = self._answer(method, path, **request)
        found = object_in(answer)
        if not found or "metadata" not in found:
            raise self._no_object(method, path, answer.text, "an object")
        return found

    def _no_object(self, method: str, path: str, said: str, expected: str) -> TargetError:
        return TargetError(
            f"{method} {path}: {said[:200]!r}, expected {expected}",
            next_step=f"see that {self._access.server} is a cluster's API server",
        )

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer, a success; asked again while that may help."""
        for last in tries(_PATIENCE, 0.2):
            try:
                answer = self._send(method, path, **request)
            except TargetError:
                if last:
                    raise
                continue
            if answer.is_success:
                return answer
            if answer.status_code not in _AGAIN or last:
                status, said = answer.status_code, _status(answer)
                message = f"{method} {path}: {status}: {said or answer.text[:200]}"
                if not said and answer.text.strip() == _NO_SUCH_KIND:
                    raise UnknownKind(
                        message, next_step=f"see that {self._access.server} is a cluster that has this kind"
                    )
                next_step = _next_step(status, self.namespace)
                # Whoever else says that there is none, or that another wrote, does not know.
                raise TargetError(message, next_step=next_step, status=status if said else None)
        raise AssertionError

    def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> httpx.Response:
        token = self._access.token()
        told = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            return self._client.request(method, path, headers={**(headers or {}), **told}, **request)
        except httpx.HTTPError as error:
            raise TargetError(
                f"the cluster's API server {self._access.server} did not answer {method} {path}: {error or type(error).__name__}",
                next_step="see that it is reached from here, then run again: what was done is kept",
            ) from error


def log_lines(text: str) -> list[str]:
    """The lines of a container's log that was asked for with times; a line ends where the container ended it.

    Of a container that has just gone the kubelet says so in a line of its own, which has no time, and calls that a success.
    """
    return [line for line in text.split("\n") if _TIMED.match(line)]


def _next_step(status: int, namespace: str) -> str | None:
    return {
        401: "see who the kubeconfig, or the pod's service account, says that we are",
        403: f"give who deploys the rights of deploy/functions in {namespace}",
        404: f"see that the namespace {namespace} is there: deploy/functions makes one",
    }.get(status)


def _status(answer: httpx.Response) -> str:
    """The API server's own sentence; nothing where the answer is somebody else's."""
    found = object_in(answer) or {}
    return str(found.get("message", "")) if found.get("kind") == "Status" else ""
