"""`penstock gc`: a dry run by default. What is garbage: tests/penstock/test_garbage.py."""

from __future__ import annotations

import os
from pathlib import Path

from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import Shop


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
