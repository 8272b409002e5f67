"""A stand-in for an OCI registry, honest about being one: blobs, manifests and tokens as the specification has them.

A real one is asked by the tests on a cluster. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Registry:
    """Repositories with their blobs and manifests; `login` is who may ask for a token, anybody where it is None."""

    login: tuple[str, str] | None = None
    #: How an unknown caller is to say who it is: `Bearer` by a token, or `Basic`.
    scheme: str = "Bearer"
    mounts: bool = True
    host: str = ""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    #: Bytes that came in as blobs, and (method, path, status) of each request.
    received: int = 0
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    #: What the next requests get instead, by method.
    faults: list[tuple[str, int]] = field(default_factory=list)
    tokens: dict[str, set[str]] = field(default_factory=dict)

    # -- what a test puts there ---------------------------------------------------------------------------------

    def put(self, repository: str, content: bytes) -> str:
        """A blob; its digest."""
        digest = digest_of(content)
        self.blobs[repository, digest] = content
        return digest

    def put_image(self, repository: str, tag: str, *, kind: str = MANIFEST, about: str = "amd64") -> str:
        """An image of one layer that is as large as no package; its digest."""
        below = f"what is below, for {about}".encode() * 4000
        config = {
            "architecture": about, "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": {"User": "10001:10001", "Labels": {"org.opencontainers.image.title": "penstock-function"}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(below)]}, "history": [{"created_by": "base"}],
        }  # fmt: skip
        content = text(config)
        manifest = {
            "schemaVersion": 2, "mediaType": kind,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.put(repository, content), "size": len(content)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": self.put(repository, below), "size": len(below)}],
        }  # fmt: skip
        return self.put_manifest(repository, tag, kind, text(manifest))

    def put_manifest(self, repository: str, tag: str, kind: str, content: bytes) -> str:
        """A manifest by its tag and its digest."""
        digest = digest_of(content)
        self.manifests[repository, tag] = self.manifests[repository, digest] = (kind, content)
        return digest

    def manifest(self, reference: str) -> dict[str, Any]:
        """What `host/repository@digest` is."""
        repository, _, digest = reference.removeprefix(f"{self.host}/").partition("@")
        return dict(json.loads(self.manifests[repository, digest][1]))

    # -- how it answers -----------------------------------------------------------------------------------------

    def app(self) -> Starlette:
        """Its HTTP API."""
        every = ["GET", "HEAD", "POST", "PUT"]
        return Starlette(
            routes=[
                Route("/token", self._token, methods=["GET", "POST"]),
                Route("/v2/{repository:path}/manifests/{version}", self._manifest, methods=every),
                Route("/v2/{repository:path}/blobs/uploads/{id:path}", self._upload, methods=every),
                Route("/v2/{repository:path}/blobs/{digest}", self._blob, methods=every),
            ]
        )

    async def _token(self, request: Request) -> Response:
        given: Mapping[str, Any] = (
            request.query_params if request.method == "GET" else dict(await request.form())
        )
        scopes = set(request.query_params.getlist("scope")) or set(given["scope"].split())
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        refresh = given.get("refresh_token")
        known = self.login is None or ":".join(self.login) in (
            base64.b64decode(basic).decode(),
            f"<token>:{refresh}",
        )
        if not known:
            return JSONResponse({"errors": [{"code": "UNAUTHORIZED", "message": "who?"}]}, 401)
        token = uuid.uuid4().hex
        self.tokens[token] = scopes
        return JSONResponse({"token": token})

    def _guard(self, request: Request) -> Response | None:
        """What keeps a request out."""
        for fault in self.faults:
            if fault[0] == request.method:
                self.faults.remove(fault)
                return JSONResponse({"errors": []}, fault[1])
        if self.login is None:
            return None
        told = request.headers.get("authorization", "")
        repository, right = (
            request.path_params["repository"],
            "pull" if request.method in ("GET", "HEAD") else "push",
        )
        if self.scheme == "Basic":
            pair = base64.b64encode(":".join(self.login).encode()).decode()
            allowed, challenge = told == f"Basic {pair}", 'Basic realm="registry"'
        else:
            scopes = self.tokens.get(told.removeprefix("Bearer "), set())
            rights = {scope.rpartition(":")[0]: scope.rpartition(":")[2].split(",") for scope in scopes}
            allowed = right in rights.get(f"repository:{repository}", [])
            source = request.query_params.get("from")
            allowed &= source is None or "pull" in rights.get(f"repository:{source}", [])
            challenge = f'Bearer realm="http://{self.host}/token",service="registry",scope="repository:{repository}:{right}"'
        if allowed:
            return None
        return JSONResponse(
            {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
            401,
            headers={"WWW-Authenticate": challenge},
        )

    def _told(self, request: Request, answer: Response) -> Response:
        self.seen.append((request.method, request.url.path, answer.status_code))
        return answer

    async def _manifest(self, request: Request) -> Response:
        if refused := self._guard(request):
            return self._told(request, refused)
        place = (request.path_params["repository"], request.path_params["version"])
        if request.method == "PUT":
            content = await request.body()
            found = json.loads(content)
            inside = [*found.get("layers", []), *filter(None, [found.get("config")])]
            missing = [each["digest"] for each in inside if (place[0], each["digest"]) not in self.blobs]
            missing += [
                each["digest"]
                for each in found.get("manifests", [])
                if (place[0], each["digest"]) not in self.manifests
            ]
            if missing:
                return self._told(request, unknown("MANIFEST_BLOB_UNKNOWN", str(missing)))
            self.put_manifest(*place, request.headers["content-type"], content)
            return self._told(request, Response(status_code=201))
        if place not in self.manifests:
            return self._told(request, unknown("MANIFEST_UNKNOWN", place[1]))
        kind, content = self.manifests[place]
        return self._told(request, Response(content, media_type=kind))

    async def _blob(self, request: Request) -> Response:
        if refused := self._guard(request):
            return self._told(request, refused)
        found = self.blobs.get((request.path_params["repository"], request.path_params["digest"]))
        return self._told(request, unknown("BLOB_UNKNOWN", "not there") if found is None else Response(found))

    async def _upload(self, request: Request) -> Response:
        if refused := self._guard(request):
            return self._told(request, refused)
        repository = request.path_params["repository"]
        if request.method == "POST":
            mount, source = request.query_params.get("mount"), request.query_params.get("from")
            if self.mounts and mount and (source, mount) in self.blobs:
                self.blobs[repository, mount] = self.blobs[str(source), mount]
                return self._told(request, Response(status_code=201))
            place = f"/v2/{repository}/blobs/uploads/{uuid.uuid4().hex}?_state=a%3D%3D"
            return self._told(request, Response(status_code=202, headers={"Location": place}))
        content, digest = await request.body(), request.query_params["digest"]
        self.received += len(content)
        if digest_of(content) != digest or request.query_params["_state"] != "a==":
            return self._told(
                request, JSONResponse({"errors": [{"code": "DIGEST_INVALID", "message": digest}]}, 400)
            )
        self.blobs[repository, digest] = content
        return self._told(request, Response(status_code=201))


@contextmanager
def registry(**options: Any) -> Iterator[Registry]:
    """One on loopback, without TLS."""
    made = Registry(**options)
    serving = uvicorn.Server(uvicorn.Config(made.app(), port=0, log_level="error"))
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        while not serving.started:
            time.sleep(0.01)
        made.host = f"127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}"
        yield made
    finally:
        serving.should_exit = True
        thread.join()


def digest_of(content: bytes) -> str:
    """The name of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def text(value: Mapping[str, Any]) -> bytes:
    """JSON as it is pushed."""
    return json.dumps(value).encode()


def unknown(code: str, what: str) -> Response:
    """Of what is not there."""
    return JSONResponse({"errors": [{"code": code, "message": what}]}, 404)
