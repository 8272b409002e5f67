"""The name of an image in a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from penstock.targets import TargetError

# https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PLACE: Final = re.compile(rf"(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/(?P<repository>{_PART}(?:/{_PART})*)")
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_DIGEST: Final = "sha256:[0-9a-f]{64}"
_REFERENCE: Final = re.compile(rf"{_PLACE.pattern}(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """An image: the registry's host, the repository in it, and there a tag or a digest."""

    host: str
    repository: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """`registry.example/team/function:1`, or with `@sha256:...`, which wins. Raises TargetError."""
        found = _REFERENCE.fullmatch(text)
        version = found and (found["digest"] or found["tag"])
        if found is None or not version or not is_host(found["host"]):
            raise TargetError(
                f"{text!r} is no image that can be found: expected registry.example/team/name"
                " with a :tag or a @sha256:... digest",
                next_step="name the registry, too (docker.io, where it is Docker's)",
            )
        return cls(found["host"], found["repository"], version)


def parse_place(text: str) -> tuple[str, str]:
    """The host and the repository of `registry.example/team`. Raises TargetError."""
    found = _PLACE.fullmatch(text)
    if found is None or not is_host(found["host"]):
        raise TargetError(
            f"{text!r} is no place in a registry: expected a host and a path in small letters, registry.example/team",
            next_step="correct PENSTOCK_REGISTRY",
        )
    return found["host"], found["repository"]


def is_host(text: str) -> bool:
    """Whether the first part of a name is a registry, and not a folder of Docker's own."""
    return "." in text or ":" in text or text == "localhost"
