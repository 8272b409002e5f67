"""A pipeline's own libraries: a lock, and only what the job room has not."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from penstock import requirements
from penstock.errors import SpecError

LOCK = """# by uv
numpy==2.0.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via haversine
Haver_Sine[fast]==2.9.0 ; python_version >= "3" --hash=sha256:cc  # why
winonly==1 ; sys_platform == "win32" \\
    --hash=sha256:dd
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A pipeline's lock."""
    path = tmp_path / "dags" / "shop" / requirements.FILE
    path.parent.mkdir(parents=True)
    path.write_text(LOCK)
    return path


def room(tmp_path: Path, text: str) -> Path:
    """The job room's."""
    path = tmp_path / "room.txt"
    path.write_text(text)
    return path


def test_a_lock_is_read(lock: Path) -> None:
    """Names are normal ones; what another system needs is left out; digests stay with their line."""
    read = requirements.read(lock)
    assert [(each.name, each.version) for each in read] == [("numpy", "2.0.0"), ("haver-sine", "2.9.0")]
    assert [each.line.count("--hash=") for each in read] == [2, 1]


def test_no_file_no_libraries(tmp_path: Path) -> None:
    """Most pipelines have none."""
    assert requirements.read(tmp_path / requirements.FILE) == []


@pytest.mark.parametrize(
    "line", ["x", "x>=1 --hash=sha256:aa", "x==1", "-r other.txt", "git+https://example.org/x", "==1"]
)
def test_what_is_no_lock_is_refused(lock: Path, line: str) -> None:
    """Every such line is named, with the command that makes a lock."""
    lock.write_text(f"{LOCK}{line}\ny\n")
    with pytest.raises(SpecError) as refused:
        requirements.read(lock)
    assert (
        f"dags/shop/requirements.txt is no lock: expected name==version with --hash, found {line.partition(' --hash')[0]}; y"
        in str(refused.value)
    )
    assert "uv pip compile dags/shop/requirements.in -c images/job/requirements.txt" in str(
        refused.value.next_step
    )


def test_what_the_room_has_is_not_installed_again(lock: Path, tmp_path: Path) -> None:
    """The rest is the pipeline's own."""
    assert [
        each.name for each in requirements.beyond(lock, room(tmp_path, "numpy==2.0.0 --hash=sha256:aa\n"))
    ] == ["haver-sine"]


def test_another_version_than_the_rooms_is_refused(lock: Path, tmp_path: Path) -> None:
    """Spark and the jobs run on the room's; both versions are named."""
    with pytest.raises(SpecError, match=r"numpy 2\.0\.0 \(2\.4\.1 in .*room\.txt\)"):
        requirements.beyond(lock, room(tmp_path, "numpy==2.4.1 --hash=sha256:aa\n"))


def test_several_locks_add_a_library_once(lock: Path, tmp_path: Path) -> None:
    """A step's lock may have what the pipeline's has, in the same version."""
    below, other = room(tmp_path, "numpy==2.0.0 --hash=sha256:aa\n"), tmp_path / "steps" / "other.txt"
    other.parent.mkdir()
    other.write_text("haver-sine==2.9.0 --hash=sha256:cc\nholidays==0.1 --hash=sha256:dd\n")
    assert [each.name for each in requirements.added([lock, other], below)] == ["haver-sine", "holidays"]
    other.write_text("haver-sine==3 --hash=sha256:cc\n")
    with pytest.raises(SpecError, match=r"haver-sine 3 \(2\.9\.0 in dags/shop/requirements\.txt\)"):
        requirements.added([lock, other], below)


def test_what_is_missing_here(lock: Path) -> None:
    """A library that is not there, and one in another version; one that is there as asked is none."""
    lock.write_text(
        f"pytest=={version('pytest')} --hash=sha256:aa\nnumpy==0.1 --hash=sha256:aa\nnowhere==1 --hash=sha256:aa\n"
    )
    assert requirements.missing(lock) == [f"numpy 0.1 (here: {version('numpy')})", "nowhere 1 (here: none)"]
