"""`penstock invoke`, `logs`, `rollback`, `reconcile` and `remove`, on a real host and registry."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.registry import CHAMPION
from penstock.targets import TargetError
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import Shop


def answer(penstock: Penstock, x: float = 1.0) -> float:
    return float(
        penstock("invoke", "shift", "--data", json.dumps({"x": x}), "--json").answer["answer"]["prediction"]
    )


def test_invoke_takes_json_a_file_or_stdin(
    penstock: Penstock, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same record by each way gives the live function's answer, as it came."""
    shop.promote()
    record = tmp_path / "record.json"
    record.write_text('{"x": 1.5}')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"x": 1.5}'))
    for data in ('{"x": 1.5}', f"@{record}", "-"):
        ran = penstock("invoke", "shift", "--data", data, "--json")
        assert ran.answer["function"] == "shift"
        assert ran.answer["answer"]["prediction"] == 2.5
    assert '"prediction": 2.5' in penstock("invoke", "shift", "--data", '{"x": 1.5}').stdout


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{x}", "--data holds no JSON"),
        ("@none.json", "none.json cannot be read"),
        ('{"x": "far"}', "field 'x'"),
    ],
)
def test_data_that_cannot_be_used_is_named(penstock: Penstock, shop: Shop, data: str, said: str) -> None:
    """No JSON, no file, or a record that the function refuses: exit status of bad data, and what was wrong."""
    shop.promote()
    ran = penstock("invoke", "shift", "--data", data)
    assert ran.code == 4
    assert said in ran.stderr


def test_invoke_says_that_nothing_serves(penstock: Penstock, shop: Shop) -> None:
    """Without a host there is no answer, and the way on is named."""
    ran = penstock("invoke", "shift", "--data", "{}")
    assert ran.code == TargetError.exit_code
    assert "penstock up" in ran.stderr


def test_rollback_goes_to_the_newest_older_version_that_was_live(penstock: Penstock, shop: Shop) -> None:
    """Version 3 goes back to 1 where 2 was registered and never promoted; the function answers as 1 at once."""
    shop.promote()
    shop.register()
    shop.promote()
    assert answer(penstock) == 4.0
    ran = penstock("rollback", "shift", "--json")
    assert (ran.answer["before"], ran.answer["version"]) == ("3", "1")
    assert ran.answer["url"].endswith("/functions/shift")
    assert answer(penstock) == 2.0
    champion = shop.registry.champion("shift")
    assert champion is not None
    assert champion.version == "1"


def test_rollback_to_a_version_that_is_named(penstock: Penstock, shop: Shop) -> None:
    """--to takes any version, one that was never live too."""
    shop.promote()
    shop.register()
    assert penstock("rollback", "shift", "--to", "2", "--json").answer["version"] == "2"
    assert answer(penstock) == 3.0


def test_rollback_without_an_older_one_changes_nothing(penstock: Penstock, shop: Shop) -> None:
    """The first version has nothing to go back to, and one that is not there is named with those that are."""
    shop.promote()
    ran = penstock("rollback", "shift")
    assert ran.code == 1
    assert "no version of 'shift' below the champion's, 1, was ever live" in ran.stderr
    assert "no version 7 of shift (versions: 1)" in penstock("rollback", "shift", "--to", "7").stderr
    assert answer(penstock) == 2.0


def test_rollback_works_with_a_broken_declaration_and_a_host_that_is_down(
    penstock: Penstock, shop: Shop
) -> None:
    """Who is on call needs neither the spec nor a running host."""
    shop.promote()
    shop.promote()
    (shop.settings.dags / "shift" / "pipeline.py").write_text("1 / 0")
    EmbeddedTarget(shop.settings.host_state).stop()
    ran = penstock("rollback", "shift", "--json")
    assert ran.answer["version"] == "1"
    assert "the spec of shift cannot be read" in ran.stderr
    assert answer(penstock) == 2.0


def test_reconcile_follows_the_alias(penstock: Penstock, shop: Shop) -> None:
    """A person who moved the alias in the registry gets that version live."""
    shop.promote()
    shop.promote()
    shop.registry.set_alias("shift", CHAMPION, "1")
    assert "penstock reconcile shift" in penstock("status").stdout
    (done,) = penstock("reconcile", "--json").answer["pipelines"]
    assert (done["name"], done["version"]) == ("shift", "1")
    assert answer(penstock) == 2.0


def test_reconcile_every_so_often_follows_the_alias_until_it_is_stopped(shop: Shop) -> None:
    """It says what it did, and SIGTERM ends it well, with its answer. What cannot be read is told, and nothing is guessed for it."""
    shop.promote()
    shop.promote()
    (shop.settings.dags / "broken").mkdir()
    (shop.settings.dags / "broken" / "pipeline.py").write_text("1 / 0")
    command = [sys.executable, "-m", "penstock", "reconcile", "--every", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "broken: dags/broken/pipeline.py does not import" in process.stderr.readline()
        shop.registry.set_alias("shift", CHAMPION, "1")
        assert "shift: version 1 serves at http" in process.stderr.readline()
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [each["version"] for each in json.loads(said)["pipelines"]] == ["1"]


def test_reconcile_without_a_champion_says_so(penstock: Penstock, shop: Shop) -> None:
    """A pipeline without a champion is no error."""
    assert penstock("reconcile", "shift", "--json").answer["pipelines"] == [
        {"name": "shift", "version": None, "url": None}
    ]


def test_logs_show_what_the_function_printed(penstock: Penstock, shop: Shop) -> None:
    """The newest lines of the live function's own log."""
    shop.promote()
    ran = penstock("logs", "shift", "--json", "-n", "5")
    assert any('"event":"ready"' in line for line in ran.answer["lines"])
    assert ran.answer["run"] is None


def test_remove_needs_to_be_confirmed(penstock: Penstock, shop: Shop) -> None:
    """Without --yes, and with nobody to ask, nothing is touched."""
    shop.promote()
    ran = penstock("remove", "shift")
    assert ran.code == 1
    assert "--yes" in ran.stderr
    assert answer(penstock) == 2.0


def test_remove_takes_all_but_the_folder(penstock: Penstock, shop: Shop) -> None:
    """The function, the versions and the artifacts go; the declaration stays; a second time there is nothing left."""
    shop.promote()
    ran = penstock("remove", "shift", "--yes", "--json")
    assert (ran.answer["versions"], ran.answer["kept"]) == (1, "dags/shift and expectations/shift")
    assert ran.answer["bytes"] > 0
    assert shop.registry.versions("shift") == []
    assert shop.store.names("shift") == []
    assert (shop.settings.dags / "shift" / "pipeline.py").is_file()
    with pytest.raises(TargetError, match="404"):
        EmbeddedTarget(shop.settings.host_state).status("shift")
    assert penstock("remove", "shift", "--yes", "--json").answer["versions"] == 0


def test_remove_of_what_nobody_knows(penstock: Penstock, shop: Shop) -> None:
    """A wrong name is an error, with the right ones."""
    ran = penstock("remove", "shfit", "--yes")
    assert ran.code == 2
    assert "pipelines here: shift" in ran.stderr
