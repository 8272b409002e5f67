"""The package index that a fresh machine is told to use: found as pip and uv find it, asked, and never shown with its login."""

from __future__ import annotations

import base64
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def _script(name: str) -> ModuleType:
    """A script as a module: they are run by path, before anything of ours is installed."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


package_index = _script("package_index")
install = _script("install")


@pytest.fixture(autouse=True)
def _told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment and a home that say nothing of an index; the machine's own files are left out."""
    for name in os.environ:
        if name.startswith(("UV_", "PIP_", "SSL_CERT", "REQUESTS_CA")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(package_index, "_pip_files", lambda: [tmp_path / "pip.conf"])


class _Asked(BaseHTTPRequestHandler):
    """An index with one project, behind a login; its first answer is a fault."""

    seen: list[str | None]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        if len(self.seen) == 1:
            self.send_error(503)
            return
        found = {"/simple/uv/": b'<a href="../../files/uv-1.0-py3-none-any.whl#sha256=ab">uv</a>'}.get(
            self.path
        )
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    """Its host and port, and what logins it was shown."""
    handler = type("Asked", (_Asked,), {"seen": []})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{http.server_port}", handler.seen  # type: ignore[attr-defined]
        http.shutdown()


def test_where_nobody_says_it_is_pypi() -> None:
    """Nothing is set: uv is told nothing, and PyPI is asked."""
    index = package_index.Index.find()
    assert index == package_index.Index(None, None, ())
    assert index.for_uv() == {}


def test_pips_files_and_variables_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of pip's says it, a variable of pip's more loudly, uv's own the loudest."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://one.example/simple\ncert = /etc/ours.pem\ntrusted-host = one.example a:1\n"
    )
    found = package_index.Index.find()
    assert found == package_index.Index("https://one.example/simple", "/etc/ours.pem", ("one.example", "a:1"))
    assert found.for_uv() == {
        "UV_DEFAULT_INDEX": "https://one.example/simple",
        "SSL_CERT_FILE": "/etc/ours.pem",
        "UV_INSECURE_HOST": "one.example a:1",
    }
    monkeypatch.setenv("PIP_INDEX_URL", "https://two.example/simple")
    assert package_index.Index.find().url == "https://two.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "ours=https://three.example/simple")
    found = package_index.Index.find()
    assert found.url == "https://three.example/simple"
    assert "UV_DEFAULT_INDEX" not in found.for_uv()


def test_a_login_goes_with_the_request_only(server: tuple[str, list[str | None]]) -> None:
    """The index gets its login, after a fault it is asked again, and links are whole; no message shows the login."""
    place, seen = server
    index = package_index.Index(f"http://me:s%40cret@{place}/simple", None, ())
    assert index.links("uv") == [f"http://me:s%40cret@{place}/files/uv-1.0-py3-none-any.whl#sha256=ab"]
    assert seen == ["Basic " + base64.b64encode(b"me:s@cret").decode()] * 2
    with pytest.raises(OSError, match="404") as raised:
        index.links("nothing")
    assert "cret" not in str(raised.value)


def test_a_wheel_with_another_digest_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the index gives for uv is held against scripts/uv.txt before a byte of it is run."""
    monkeypatch.setattr(install, "UV", tmp_path / "uv")
    monkeypatch.setattr(install, "_wheel", lambda index, version: b"another")
    with pytest.raises(SystemExit, match=r"is not the one that scripts/uv\.txt pins"):
        install._have_uv(package_index.Index(None, None, ()))
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_of_this_machine_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the platform's tags, of the pinned version; where there is none, that is said."""
    monkeypatch.setattr(install.sys, "platform", "linux")
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(install.platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert install._fits("uv-1.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "1.0")
    assert not install._fits("uv-1.0-py3-none-musllinux_1_1_x86_64.whl", "1.0")
    assert not install._fits("uv-1.0-py3-none-manylinux_2_17_aarch64.whl", "1.0")
    assert not install._fits("uv-1.0.1-py3-none-manylinux_2_17_x86_64.whl", "1.0")
    monkeypatch.setattr(
        package_index.Index, "links", lambda self, project: ["https://x.example/uv-1.0.tar.gz"]
    )
    with pytest.raises(SystemExit, match=r"has no wheel of uv 1\.0 for linux on x86_64"):
        install._wheel(package_index.Index("https://x.example/simple", None, ()), "1.0")
