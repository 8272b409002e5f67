"""A registry's HTTP API, as far as adding a layer to an image needs it.

The protocol: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md, and for tokens
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin

import httpx

from penstock.targets import TargetError
from penstock.targets.asking import object_in
from penstock.targets.oci import login

#: What a manifest may be: of one image, or of one for each platform; in OCI's words and in Docker's older ones.
IMAGES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
#: A registry takes no larger manifest, nor need it (the specification's recommendation).
_MAX_MANIFEST: Final = 4 * 2**20
#: Docker's registry answers at another name.
_ADDRESSES: Final[Mapping[str, str]] = {"docker.io": "registry-1.docker.io"}
_AGAIN: Final = {429, 502, 503, 504}
_PAUSES: Final = (0.5, 2.0, 6.0)
_TIMEOUT: Final = httpx.Timeout(120.0, connect=10.0)
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')

#: What is sent, made anew each time that it is.
Content = Callable[[], Iterable[bytes]]


class Registry:
    """One registry, for those `scopes` (`repository:NAME:pull`). Every method raises TargetError.

    Without TLS where `plain`: then nothing keeps others from reading and changing what goes there.
    """

    def __init__(self, host: str, scopes: Iterable[str], *, plain: bool) -> None:
        self.host = host
        self._plain = plain
        self._scopes = tuple(scopes)
        self._url = f"{'http' if plain else 'https'}://{_ADDRESSES.get(host, host)}"
        # The environment's proxies are for registries of the world outside.
        self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=True, trust_env=not plain)
        self._authorization: str | None = None

    def close(self) -> None:
        self._client.close()

    # -- what is there ----------------------------------------------------------------------------------------

    def manifest(self, repository: str, version: str) -> tuple[str, bytes]:
        """The media type and the bytes of a manifest, by its tag or digest."""
        headers = {"Accept": ", ".join((*IMAGES, *INDEXES))}
        answer = self._call("GET", f"/v2/{repository}/manifests/{version}", headers=headers)
        content = answer.content
        if len(content) > _MAX_MANIFEST:
            raise self._error(f"the manifest {version} of {repository} has {len(content)} bytes")
        if version.startswith("sha256:"):
            self._check(repository, version, hashlib.sha256(content).hexdigest())
        return answer.headers.get("Content-Type", "").partition(";")[0], content

    def has(self, kind: str, repository: str, digest: str) -> bool:
        """Whether one of the `blobs` or `manifests` is there."""
        headers = {"Accept": ", ".join((*IMAGES, *INDEXES))} if kind == "manifests" else {}
        answer = self._call("HEAD", f"/v2/{repository}/{kind}/{digest}", headers=headers, missing=True)
        return answer.is_success

    def blob(self, repository: str, digest: str) -> bytes:
        """A small blob, checked."""
        content = self._call("GET", f"/v2/{repository}/blobs/{digest}").content
        self._check(repository, digest, hashlib.sha256(content).hexdigest())
        return content

    @contextmanager
    def stream(self, repository: str, digest: str) -> Iterator[Iterator[bytes]]:
        """A blob in pieces, not checked: whoever takes it does so by its digest."""
        path = f"/v2/{repository}/blobs/{digest}"
        self.has("blobs", repository, digest)  # so that the token is there
        try:
            with self._client.stream("GET", self._url + path, headers=self._headers(self._url)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refused("GET", path, answer)
                yield answer.iter_bytes(2**20)
        except httpx.HTTPError as error:
            raise self._error(f"GET {path} broke off: {error or type(error).__name__}") from error

    # -- what is sent -----------------------------------------------------------------------------------------

    def put_blob(
        self, repository: str, digest: str, size: int, content: Content, source: str | None = None
    ) -> None:
        """Have a blob there: as it is, or from the repository `source` of this registry, or by sending it."""
        if self.has("blobs", repository, digest):
            return
        path = f"/v2/{repository}/blobs/uploads/"
        mount = {} if source is None else {"mount": digest, "from": source}
        begun = self._call("POST", path, params=mount)
        if begun.status_code == 201:
            return
        place = httpx.URL(urljoin(str(begun.request.url), begun.headers.get("Location", path)))
        self._call(
            "PUT",
            str(place.copy_merge_params({"digest": digest})),
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            content=content,
        )

    def put_manifest(self, repository: str, version: str, media_type: str, content: bytes) -> None:
        """Make a manifest known by a tag, or by its digest alone."""
        self._call(
            "PUT",
            f"/v2/{repository}/manifests/{version}",
            headers={"Content-Type": media_type},
            content=lambda: [content],
        )

    # -- how it is asked --------------------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
        missing: bool = False,
    ) -> httpx.Response:
        """The answer, a success, or a 404 where that is one too; asked again while that may help."""
        url = urljoin(self._url, path)
        where = httpx.URL(url).path  # an upload's query may hold what only its registry should read
        renewed = False
        for pause in (*_PAUSES, None):
            try:
                answer = self._send(method, url, params, headers, content)
                if answer.status_code == 401 and not renewed:
                    renewed = True
                    self._authorize(answer)
                    answer = self._send(method, url, params, headers, content)
            except httpx.TransportError as error:
                if pause is None:
                    raise self._error(
                        f"no answer to {method} {where}: {error or type(error).__name__}"
                    ) from error
            else:
                if answer.is_success or (missing and answer.status_code == 404):
                    return answer
                if answer.status_code not in _AGAIN or pause is None:
                    raise self._refused(method, where, answer)
            time.sleep(pause)
        raise AssertionError

    def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        content: Content | None,
    ) -> httpx.Response:
        return self._client.request(
            method,
            url,
            params=params or None,
            headers={**(headers or {}), **self._headers(url)},
            content=None if content is None else content(),
        )

    def _headers(self, url: str) -> dict[str, str]:
        """Our authorization, which is for the registry alone, wherever it sends us."""
        own, other = httpx.URL(self._url), httpx.URL(url)
        same = (own.scheme, own.host, own.port) == (other.scheme, other.host, other.port)
        return {"Authorization": self._authorization} if same and self._authorization else {}

    def _authorize(self, answer: httpx.Response) -> None:
        """Do what the registry asks for when it does not know us."""
        known = login.find(self.host)
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        if scheme.lower() == "bearer":
            self._authorization = f"Bearer {self._token(dict(_CHALLENGE.findall(rest)), known)}"
        elif scheme.lower() == "basic" and known is not None:
            pair = f"{known.name}:{known.secret}".encode()
            self._authorization = f"Basic {base64.b64encode(pair).decode()}"

    def _token(self, challenge: Mapping[str, str], known: login.Login | None) -> str:
        """A token for our scopes from whom the registry names, for anybody where we have no login."""
        realm, service = challenge.get("realm", ""), challenge.get("service", "")
        if not realm.startswith("https://") and not (self._plain and realm.startswith("http://")):
            raise self._error(f"it sends us for a token to {realm!r}, expected an https:// address")
        try:
            if known is not None and known.is_token:
                form = {"grant_type": "refresh_token", "client_id": "penstock", "service": service,
                        "scope": " ".join(self._scopes), "refresh_token": known.secret}  # fmt: skip
                answer = self._client.post(realm, data=form)
            else:
                answer = self._client.get(
                    realm,
                    params=[("service", service), *(("scope", scope) for scope in self._scopes)],
                    auth=None if known is None else (known.name, known.secret),
                )
        except httpx.HTTPError as error:
            raise self._error(f"{realm} gave no token: {error or type(error).__name__}") from error
        found = object_in(answer) or {}
        token = found.get("token") or found.get("access_token")
        if not answer.is_success or not isinstance(token, str):
            whose = "anybody" if known is None else known.name
            raise self._error(f"{realm} gave no token for {whose}: {answer.status_code}", answer.status_code)
        return token

    def _check(self, repository: str, digest: str, found: str) -> None:
        if digest != f"sha256:{found}":
            raise self._error(f"{repository} gave sha256:{found} for {digest}")

    def _refused(self, method: str, path: str, answer: httpx.Response) -> TargetError:
        errors = (object_in(answer) or {}).get("errors")
        told = errors if isinstance(errors, list) else []
        said = "; ".join(
            f"{each.get('code')}: {each.get('message')}" for each in told if isinstance(each, dict)
        )
        return self._error(
            f"{method} {path}: {answer.status_code}{f': {said}' if said else ''}", answer.status_code
        )

    def _error(self, what: str, status: int | None = None) -> TargetError:
        next_step = f"see that {self.host} is a registry, and is reached" + (
            " without TLS"
            if self._plain
            else ": one without TLS must be named in PENSTOCK_INSECURE_REGISTRIES"
        )
        if status in (401, 403):
            next_step = (
                f"log in, with the right to push: docker login {self.host}, or {login.AUTH_CONFIG} in a pod"
            )
        elif status == 404:
            next_step = "see that the image is there: penstock image room function --registry ..."
        return TargetError(f"the registry {self.host}: {what}", next_step=next_step, status=status)


def digest_of(content: bytes) -> str:
    """The name of a content in a registry."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
