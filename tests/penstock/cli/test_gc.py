"""`penstock gc`: a dry run by default. What is garbage: tests/penstock/test_garbage.py."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import Shop, write


def test_a_dry_run_by_default_and_removal_on_request(penstock: Penstock, shop: Shop) -> None:
    """A losing attempt of long ago is listed with its size, stays, and goes with --delete; the version stays."""
    shop.register()
    loser = Path(shop.store.path("shift/register/key1/killed"))
    loser.mkdir()
    (loser / "data").write_text("ten bytes!")
    for path in (loser / "data", loser):
        os.utime(path, (0, 0))
    ran = penstock("gc", "--json")
    assert ran.answer == {
        "deleted": False, "bytes": 10, "kept": 1,
        "garbage": [{"path": "shift/register/key1/killed", "kind": "attempt", "bytes": 10}],
    }  # fmt: skip
    assert "penstock gc --delete removes it" in penstock("gc").stdout
    assert loser.is_dir()
    assert penstock("gc", "--delete", "--json").answer["deleted"] is True
    assert not loser.exists()
    assert shop.store.result("shift", "register", "key1") is not None
    assert "found 0" in penstock("gc").stdout


def test_a_pipeline_says_how_long_it_keeps_what_it_logged(penstock: Penstock, shop: Shop) -> None:
    """90 days where it says nothing; a spec that cannot be read keeps all, and is named."""
    shop.register()
    ages = (400, 100, 50)
    days = [f"shift/_predictions/{datetime.now(UTC) - timedelta(days=age):%Y-%m-%d}" for age in ages]
    for day in days:
        write(Path(shop.store.path(f"{day}/14/segment.parquet")), "ten bytes!")
    spec = shop.settings.dags / "shift/pipeline.py"
    text = spec.read_text()

    def garbage(keep_log: str) -> list[str]:
        spec.write_text(text.replace("Pipeline(", f"Pipeline(function={{'keep_log': {keep_log}}}, ", 1))
        return [each["path"] for each in penstock("gc", "--json").answer["garbage"]]

    assert [each["path"] for each in penstock("gc", "--json").answer["garbage"]] == days[:2]
    assert garbage("{'months': 12}") == days[:1]
    assert garbage("None") == []
    assert garbage("{'days': 0}") == []
    assert (
        "the spec of shift cannot be read (see penstock check): all that it logged is kept"
        in penstock("gc").stderr
    )
    spec.write_text(text)
    assert penstock("gc", "--delete", "--json").answer["bytes"] == 20
    assert shop.store.names("shift/_predictions") == [days[2].rpartition("/")[2]]
