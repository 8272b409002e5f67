"""A zipped package is read in memory, within bounds, and holds nothing but the three files."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_function import archive
from penstock_function.package import Package, PackageError


def pack(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of the entries given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as writer:
        for name, data in entries:
            writer.writestr(name, data)
    return buffer.getvalue()


def test_a_zipped_package_is_the_package(
    make_package: Callable[..., Path], zipped: Callable[[Path], bytes]
) -> None:
    """The same package comes from a folder and from its zip."""
    folder = make_package()
    assert Package.read(archive.reader(zipped(folder))) == Package.load(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../function.json",
        "/etc/passwd",
        "a/model.onnx",
        "..\\model.onnx",
        "C:model.onnx",
        "model.onnx/",
        "extra.pkl",
        "é",
    ],
)
def test_an_entry_that_is_no_file_of_a_package_is_refused(name: str, tmp_path: Path) -> None:
    """A path, a folder or any other name is refused, and nothing is written anywhere."""
    with pytest.raises(PackageError, match="no file of a package"):
        archive.reader(pack(("function.json", b"{}"), (name, b"x")))
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_refused() -> None:
    """A symbolic link by a good name is refused."""
    link = zipfile.ZipInfo("model.onnx")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(PackageError, match="no file of a package"):
        archive.reader(pack((link, b"/etc/passwd")))


def test_a_duplicate_is_refused() -> None:
    """Two entries of one name could differ between who checked and who reads."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = pack(("model.onnx", b"a"), ("model.onnx", b"b"))
    with pytest.raises(PackageError, match=r"model\.onnx twice"):
        archive.reader(data)


def test_a_bomb_is_refused_before_it_unpacks() -> None:
    """A few hundred KB that unpack to more than is allowed are refused by what they state."""
    bomb = pack(("model.onnx", bytes(archive.MAX_UNPACKED + 1)))
    assert len(bomb) < 2**20
    with pytest.raises(PackageError, match="at most"):
        archive.reader(bomb)


def test_a_size_that_lies_does_not_pass_the_limit() -> None:
    """An entry that states 1 byte and unpacks to more is refused when it is read."""
    data = bytearray(pack(("model.onnx", bytes(10**6))))
    place = data.rindex(b"PK\x01\x02") + 24  # the uncompressed size in the central directory
    data[place : place + 4] = (1).to_bytes(4, "little")
    read = archive.reader(bytes(data))
    with pytest.raises(PackageError, match=r"model\.onnx cannot be unpacked"):
        read("model.onnx")


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100])
def test_bytes_that_are_no_zip_are_refused(data: bytes) -> None:
    """Anything that is no zip is said to be none."""
    with pytest.raises(PackageError, match="not a zip"):
        archive.reader(data)


def test_a_truncated_zip_is_refused(
    make_package: Callable[..., Path], zipped: Callable[[Path], bytes]
) -> None:
    """Wherever a zip is cut, reading it is a package error."""
    data = zipped(make_package())
    for end in range(0, len(data), 97):
        with pytest.raises(PackageError):
            Package.read(archive.reader(data[:end]))


def test_a_damaged_zip_is_refused(make_package: Callable[..., Path], zipped: Callable[[Path], bytes]) -> None:
    """Wherever a byte is flipped, the package is either refused or the very same."""
    folder = make_package()
    good, data = Package.load(folder), zipped(folder)
    for place in range(0, len(data), 31):
        changed = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            package = Package.read(archive.reader(changed))
        except PackageError:
            continue
        assert package == good


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_unusual_packing_is_refused(method: int) -> None:
    """Only what every zip program writes is unpacked; the others' bombs are better and their errors their own."""
    with pytest.raises(PackageError, match=r"model\.onnx is packed by method 1[24]"):
        archive.reader(pack(("model.onnx", bytes(1000)), method=method))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    place=st.floats(0, 1, exclude_max=True),
    cut=st.integers(0, 8),
    put=st.binary(max_size=8),
)
def test_a_zip_damaged_anyhow_is_refused(
    make_package: Callable[..., Path], method: int, place: float, cut: int, put: bytes
) -> None:
    """Whatever is put in the place of whichever bytes, it is a package error or the very same package."""
    folder = make_package(model=b"no model is looked at")
    data = pack(*((path.name, path.read_bytes()) for path in folder.iterdir()), method=method)
    at = int(place * len(data))
    try:
        package = Package.read(archive.reader(data[:at] + put + data[at + cut :]))
    except PackageError:
        return
    assert package == Package.load(folder)


def test_a_missing_file_is_named() -> None:
    """A zip without a model says so."""
    with pytest.raises(PackageError, match=r"no model\.onnx"):
        archive.reader(pack(("function.json", b"{}")))("model.onnx")
