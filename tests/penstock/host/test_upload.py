"""Unpacking: bounds that hold whatever a zip says of itself."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from penstock.host.errors import HostError
from penstock.host.limits import Limits
from penstock.host.manifest import is_safe_path
from penstock.host.upload import unpack


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    """A deflated zip at `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where it is unpacked to."""
    path = tmp_path / "unpacked"
    path.mkdir()
    return path


def test_a_zip_bomb(tmp_path: Path, folder: Path) -> None:
    """Unpacked bytes are bounded over all members together, and no more than the bound is written."""
    half = bytes(600_000)
    archive = archive_of(tmp_path / "bomb.zip", {"function.json": half, "model.onnx": half})
    assert archive.stat().st_size < 5_000
    with pytest.raises(HostError, match="too large once unpacked") as caught:
        unpack(archive, folder, Limits(package_bytes=1_000_000))
    assert caught.value.status == 413
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1_000_000


def test_a_zip_that_lies_about_sizes(tmp_path: Path, folder: Path) -> None:
    """A member that declares fewer bytes than it unpacks to is refused, not believed."""
    archive = archive_of(tmp_path / "lie.zip", {"function.json": bytes(500_000)})
    content = archive.read_bytes().replace(struct.pack("<L", 500_000), struct.pack("<L", 10))
    archive.write_bytes(content)
    with pytest.raises(HostError, match="not a sound zip"):
        unpack(archive, folder, Limits(package_bytes=1_000_000))


def test_too_many_files(tmp_path: Path, folder: Path) -> None:
    """The number of files is bounded before the first is written."""
    files = {"function.json": b"{}"} | {f"file{number}": b"" for number in range(20)}
    with pytest.raises(HostError, match="21 files, expected at most 10"):
        unpack(archive_of(tmp_path / "many.zip", files), folder, Limits(package_files=10))
    assert list(folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice(tmp_path: Path, folder: Path) -> None:
    """Two members of one name would make the content depend on who unpacks."""
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("function.json", "{}")
        archive.writestr("function.json", "[]")
    with pytest.raises(HostError, match="collides"):
        unpack(tmp_path / "twice.zip", folder, Limits())


def test_a_zip_of_the_folder_itself(tmp_path: Path, folder: Path) -> None:
    """The commonest mistake is told with what to do instead."""
    with pytest.raises(HostError, match=r"no function\.json at its top") as caught:
        unpack(archive_of(tmp_path / "nested.zip", {"shift/function.json": b"{}"}), folder, Limits())
    assert "zip what is in the folder" in str(caught.value)


def test_an_encrypted_zip(tmp_path: Path, folder: Path) -> None:
    """An encrypted member is a 422 and no crash."""
    archive = archive_of(tmp_path / "secret.zip", {"function.json": b"{}"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # general purpose bit 0 in the local header (APPNOTE 4.4.4) …
    content[content.index(b"PK\x01\x02") + 8] |= 1  # … and in the central directory
    archive.write_bytes(bytes(content))
    with pytest.raises(HostError, match="encrypted"):
        unpack(archive, folder, Limits())


@pytest.mark.parametrize("name", ["model.onnx", "a/b", "a.b-c_d", "größe", "..a", "a.."])
def test_paths_that_stay_inside(name: str) -> None:
    """Ordinary names pass, also those that merely look odd."""
    assert is_safe_path(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "/a", "a/", "a//b", "a/./b", "../a", "a\\b", "C:a", "a\0b", "a\nb"]
)
def test_paths_that_do_not(name: str) -> None:
    """Everything that some system could read as leading elsewhere does not."""
    assert not is_safe_path(name)
