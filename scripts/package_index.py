"""The package index that uv or pip is told to use, asked with nothing but Python's own library."""

from __future__ import annotations

import base64
import configparser
import http.client
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

PYPI = "https://pypi.org/simple"
_TRIES, _SECONDS = 3, 180


@dataclass(frozen=True)
class Index:
    """Its URL (None: nobody says one, so PyPI), a file of certificates to believe, and hosts that need none."""

    url: str | None
    certificates: str | None
    trusted: tuple[str, ...]

    @classmethod
    def find(cls) -> Index:
        """As uv's variables, pip's variables or pip's configuration files say it, in this order."""
        told = _pip()
        url = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or told.get("index-url")
        if url and "=" in url.partition("://")[0]:  # uv's NAME=URL
            url = url.partition("=")[2]
        certificates = told.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE")
        return cls(url, certificates, tuple(told.get("trusted-host", "").split()))

    def for_uv(self) -> dict[str, str]:
        """The variables that make uv, which reads none of pip's, ask the same; what it is told already stays."""
        told = {
            "UV_DEFAULT_INDEX": self.url,
            "SSL_CERT_FILE": self.certificates,
            "UV_INSECURE_HOST": " ".join(self.trusted),
        }
        return {name: value for name, value in told.items() if value and name not in os.environ}

    def links(self, project: str) -> list[str]:
        """The URLs of a project's files, from its page (https://packaging.python.org/specifications/simple-repository-api)."""
        page = f"{(self.url or PYPI).rstrip('/')}/{project}/"
        anchors = _Anchors()
        anchors.feed(self.get(page).decode())
        return [urllib.parse.urljoin(page, href) for href in anchors.hrefs]

    def get(self, url: str) -> bytes:
        """What is at a URL; tried again where the other side or the way to it had a fault. Raises OSError."""
        request, context = _request(url), self._context(url)
        for attempt in range(1, _TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:  # noqa: S310
                    return bytes(answer.read())
            except (OSError, http.client.HTTPException) as error:
                if attempt == _TRIES or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                    raise OSError(f"{without_login(url)}: {error}") from error
                time.sleep(attempt)
        raise AssertionError("unreachable")

    def _context(self, url: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.certificates:
            context.load_verify_locations(self.certificates)
        parts = urllib.parse.urlsplit(url)
        if parts.hostname in self.trusted or f"{parts.hostname}:{parts.port}" in self.trusted:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def without_login(url: str) -> str:
    """The URL as it may be printed."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": "text/html, */*;q=0.1"}
    request = urllib.request.Request(without_login(url), headers=headers)  # noqa: S310 - whatever the index says
    if parts.username is not None:
        login = urllib.parse.unquote(f"{parts.username}:{parts.password or ''}")
        encoded = base64.b64encode(login.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


def _pip() -> dict[str, str]:
    """pip's options by their long names (https://pip.pypa.io/en/stable/topics/configuration)."""
    own = os.environ.get("PIP_CONFIG_FILE")
    told: dict[str, str] = {}
    for path in [] if own == os.devnull else [*_pip_files(), *([Path(own)] if own else [])]:
        config = configparser.RawConfigParser()
        config.read(path)
        for section in ("global", "install"):
            if config.has_section(section):
                told |= {name.replace("_", "-"): value for name, value in config.items(section)}
    for name in ("index-url", "cert", "trusted-host"):
        if value := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
            told[name] = value
    return told


def _pip_files() -> list[Path]:
    """The machine's, then the person's: a later one wins."""
    home = Path.home()
    person = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    if sys.platform == "darwin" and (home / "Library/Application Support/pip").is_dir():
        person = home / "Library/Application Support"
    folders = [Path("/etc/xdg/pip"), Path("/etc"), home / ".pip", person / "pip"]
    return [folder / "pip.conf" for folder in folders]


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]
