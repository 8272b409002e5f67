"""A function package as an image: the function image with the package at /package, as one layer more.

It is made in the registry, without a builder or a daemon: only the package's own bytes are sent, what is below is
taken over there. The same package on the same function image gives the same digest, wherever it is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Final

from penstock.targets import TargetError
from penstock.targets.oci.reference import Reference, parse_place
from penstock.targets.oci.registry import IMAGES, INDEXES, Registry, digest_of
from penstock.targets.sending import Contents

#: Where the runtime of the function image looks for its package (images/Dockerfile).
PLACE: Final = "package"
#: Registries (`host:port`) that are spoken to without TLS, with commas between them.
INSECURE: Final = "PENSTOCK_INSECURE_REGISTRIES"
#: What an image says of itself: https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md
_LABEL: Final = "org.opencontainers.image"
REVISION_LABEL: Final = "penstock.revision"
#: A layer is a tar as it is: what packs it may do so otherwise tomorrow, and the digest would be another.
_LAYERS: Final = dict(
    zip(
        IMAGES,
        ("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"),
        strict=True,
    )
)
_EPOCH: Final = "1970-01-01T00:00:00Z"


def append(contents: Contents, below: str, repository: str) -> str:
    """Have the image of a package there; its reference, by digest.

    `below` is the function image, `repository` where the image goes: `registry.example/team/name`. Raises TargetError.
    """
    base, (host, target) = Reference.parse(below), parse_place(repository)
    with ExitStack() as stack:
        pull = f"repository:{base.repository}:pull"
        push = f"repository:{target}:pull,push"
        own = stack.enter_context(_registry(host, [push, *([pull] if host == base.host else [])]))
        other = own if host == base.host else stack.enter_context(_registry(base.host, [pull]))
        layer = stack.enter_context(_layer(contents))
        try:
            return _Append(contents, layer, base, other, target, own).image()
        except (KeyError, TypeError, AttributeError) as error:
            raise TargetError(
                f"the manifest of {below} is not one: {type(error).__name__} {error}",
                next_step="push the image again",
            ) from error


@dataclass(frozen=True)
class _Layer:
    """A tar, and what it is known by."""

    digest: str
    size: int
    file: IO[bytes]

    def content(self) -> Iterator[bytes]:
        self.file.seek(0)
        while piece := self.file.read(2**20):
            yield piece


@dataclass(frozen=True)
class _Append:
    """One layer of one package, on its way from one repository to another."""

    contents: Contents
    layer: _Layer
    base: Reference
    source: Registry
    repository: str
    target: Registry

    def image(self) -> str:
        media_type, content = self.source.manifest(self.base.repository, self.base.version)
        manifest = _object(content, self._base)
        media_type = str(manifest.get("mediaType", media_type))
        if media_type in INDEXES:
            made = self._index(manifest)
        elif media_type in IMAGES:
            made = self._one(media_type, manifest, digest_of(content))
        else:
            raise TargetError(
                f"{self._base} is no image of a kind that is known: {media_type}",
                next_step="build it with `penstock image room function`",
            )
        digest = digest_of(made)
        # A tag for each, as registries take away what has none.
        tag = f"{self.contents.revision[-12:]}-{digest[7:19]}"
        if not self.target.has("manifests", self.repository, digest):
            self.target.put_manifest(self.repository, tag, media_type, made)
        return f"{self.target.host}/{self.repository}@{digest}"

    @property
    def _base(self) -> str:
        return f"{self.base.repository} at {self.base.host} ({self.base.version})"

    def _index(self, index: Mapping[str, Any]) -> bytes:
        """The same image for each platform."""
        made = []
        for each in index.get("manifests", []):
            # Others are no images, but what was noted of their building.
            if each.get("mediaType") not in IMAGES or each.get("platform", {}).get("os") != "linux":
                continue
            _, content = self.source.manifest(self.base.repository, each["digest"])
            image = self._one(each["mediaType"], _object(content, each["digest"]), each["digest"])
            self.target.put_manifest(self.repository, digest_of(image), each["mediaType"], image)
            made.append({**each, "digest": digest_of(image), "size": len(image)})
        if not made:
            raise TargetError(
                f"{self._base} is no image for Linux",
                next_step="build it with `penstock image room function`",
            )
        return _text({**index, "manifests": made})

    def _one(self, media_type: str, manifest: Mapping[str, Any], digest: str) -> bytes:
        """The manifest with the layer, whose blobs are there then."""
        below = manifest["config"]
        before = _object(self.source.blob(self.base.repository, below["digest"]), below["digest"])
        config = _text(self._config(before, digest))
        layer = {
            "mediaType": _LAYERS[media_type],
            "digest": self.layer.digest,
            "size": self.layer.size,
        }
        for each in manifest["layers"]:
            self._take_over(each["digest"], each["size"])
        self.target.put_blob(self.repository, self.layer.digest, self.layer.size, self.layer.content)
        self.target.put_blob(self.repository, digest_of(config), len(config), lambda: [config])
        return _text(
            {
                **manifest,
                "config": {**below, "digest": digest_of(config), "size": len(config)},
                "layers": [*manifest["layers"], layer],
            }
        )

    def _config(self, config: Mapping[str, Any], digest: str) -> dict[str, Any]:
        about = self.contents
        labels = {
            f"{_LABEL}.title": about.manifest.name,
            f"{_LABEL}.version": about.manifest.version,
            f"{_LABEL}.base.digest": digest,
            REVISION_LABEL: about.revision,
        }
        own = config.get("config") or {}
        step = {"created": _EPOCH, "created_by": f"penstock: {about.revision} of {about.manifest.name}"}
        return {
            **config,
            "config": {**own, "Labels": {**(own.get("Labels") or {}), **labels}},
            "rootfs": {
                **config["rootfs"],
                "diff_ids": [*config["rootfs"]["diff_ids"], self.layer.digest],
            },
            "history": [*(config.get("history") or []), step],
        }

    def _take_over(self, digest: str, size: int) -> None:
        """Have a layer of the function image in our repository, by the registry itself where it can."""
        source = self.base.repository if self.source is self.target else None

        def content() -> Iterable[bytes]:
            with self.source.stream(self.base.repository, digest) as pieces:
                yield from pieces

        self.target.put_blob(self.repository, digest, size, content, source)


@contextmanager
def _registry(host: str, scopes: Iterable[str]) -> Iterator[Registry]:
    insecure = {name.strip() for name in os.environ.get(INSECURE, "").split(",")}
    registry = Registry(host, scopes, plain=host in insecure)
    try:
        yield registry
    finally:
        registry.close()


@contextmanager
def _layer(contents: Contents) -> Iterator[_Layer]:
    """The package's files as a tar that is always the same: of root, read-only, of no time."""
    names = {name: PurePosixPath(PLACE, name) for name in contents.names}
    folders = {folder for path in names.values() for folder in path.parents} - {PurePosixPath(".")}
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for folder in sorted(folders):
                entry = tarfile.TarInfo(str(folder))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o555
                archive.addfile(entry)
            for name, path in sorted(names.items()):
                entry = tarfile.TarInfo(str(path))
                entry.mode = 0o444
                with contents.open(name) as source:
                    entry.size = os.fstat(source.fileno()).st_size
                    archive.addfile(entry, source)
        size = file.tell()
        file.seek(0)
        yield _Layer(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", size, file)


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TargetError(f"{what} is no JSON object in its registry", next_step="push the image again")
    return found


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
