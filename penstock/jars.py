"""The Java libraries of an image: those of its lock, from a Maven repository, each checked by its digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from penstock.durable import write_atomic
from penstock.errors import PenstockError

#: Another repository, say a company's own.
REPOSITORY = "PENSTOCK_MAVEN_URL"
_CENTRAL = "https://repo1.maven.org/maven2"


def fetch(lock: Path, cache: Path, target: Path) -> list[str]:
    """Put each jar of `lock` (lines of its SHA-256 and its path in a repository) into `target`, by way of `cache`.

    Returns their paths in the repository. Raises PenstockError where one cannot be had, or is not the one that the lock pins.
    """
    cache.mkdir(parents=True, exist_ok=True)
    pinned = [line.split() for line in lock.read_text().splitlines()]
    with httpx.Client(
        base_url=os.environ.get(REPOSITORY, _CENTRAL), follow_redirects=True, timeout=60
    ) as client:
        for digest, path in pinned:
            kept = cache / digest
            if not kept.is_file():
                write_atomic(kept, _get(client, path, digest), mode=0o644)
            shutil.copyfile(kept, target / path.rpartition("/")[2])
    return [path for _, path in pinned]


def _get(client: httpx.Client, path: str, digest: str) -> bytes:
    try:
        content = _download(client, path)
    except httpx.HTTPError as error:
        raise PenstockError(
            f"{path} cannot be had from {client.base_url}: {error}",
            next_step=f"see that the network is there; {REPOSITORY} names another Maven repository",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise PenstockError(
            f"{client.base_url} has another {path} than the lock pins: SHA-256 {found}, expected {digest}",
            next_step=f"see who serves it, or name another Maven repository by {REPOSITORY}",
        )
    return content


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(max=5),
    reraise=True,
)
def _download(client: httpx.Client, path: str) -> bytes:
    return client.get(path).raise_for_status().content
