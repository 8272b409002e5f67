"""`penstock fit`: a registered version is measured by its real runtime, and its costs are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from penstock.cli.answers import FitAnswer
from penstock.cli.fit import show
from penstock.errors import PenstockError, SpecError, StoreError
from penstock.fit import costs
from penstock.fit.figures import Figures
from penstock.fit.prices import OWN, SHIPPED, read
from penstock.registry import CHAMPION
from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import Shop

TABLE = """
currency = "EUR"
utilisation = 0.5
[targets."a & b"]
kind = "always-on"
vcpu_hour = 0.03
gb_hour = 0.004
gb = 0.5
[targets.calls]
kind = "per-call"
gb_second = 0.00001
gb = 0.5
rounding_ms = 100
"""


def test_a_version_is_measured_and_its_costs_are_told(penstock: Penstock, shop: Shop, tmp_path: Path) -> None:
    """The champion by the project's own prices, as a document and as a page that stands alone."""
    shop.register()
    shop.registry.set_alias("shift", CHAMPION, shop.register())
    (shop.settings.root / OWN).write_text(TABLE)
    page = tmp_path / "fit.html"
    ran = penstock("fit", "shift", "--calls-a-day", "5000000", "--html", str(page), "--json")
    assert ran.code == 0, ran.stderr
    found = ran.answer
    assert (found["pipeline"], found["version"], found["currency"]) == ("shift", "2", "EUR")
    assert found["prices"] == str(shop.settings.root / OWN)
    figures = found["figures"]
    assert 0 < figures["rest_bytes"] < figures["loaded_bytes"]
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    # A request of a hundred records is less work than a hundred requests.
    assert figures["requests_a_second"] < figures["records_a_second"]
    always, calls = found["costs"]
    assert (always["target"], calls["replicas"]) == ("a & b", None)
    # 100 ms of half a GB, whatever was measured.
    assert calls["a_million"] == pytest.approx(0.1 * 0.5 * 0.00001 * 1e6)
    assert always["a_day"] == pytest.approx(always["replicas"] * 24 * (0.03 + 0.5 * 0.004))
    (crossing,) = found["crossovers"]
    assert crossing["below"] == pytest.approx(24 * 0.032 / (0.1 * 0.5 * 0.00001))
    text = page.read_text()
    assert "<td>a &amp; b</td>" in text
    assert f"<p>{shop.settings.root / OWN}</p>" in text
    assert text.count("<svg") == 1
    assert "src=" not in text
    assert list((shop.settings.var / "tmp").iterdir()) == []


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured, a row a target, where costs cross, and whose prices those are."""
    figures = Figures(
        size_bytes=30_477, memory_bytes=83_000_000, private_bytes=69_000_000, rest_bytes=72_000_000,
        loaded_bytes=82_000_000, own_p99_ms=0.59, p50_ms=0.57, p99_ms=2.3, payload_bytes=306, start_ms=773,
        prove_ms=366, first_answer_ms=1142, requests_a_second=5891, records_a_second=155_454,
    )  # fmt: skip
    prices = read(SHIPPED)
    found = costs.curves(prices, figures)
    answer = FitAnswer(
        pipeline="shift", version="1", figures=figures, calls_a_day=100_000, prices=str(SHIPPED), page="fit.html",
        currency=prices.currency, utilisation=prices.utilisation, costs=costs.costs(prices, found, 100_000),
        crossovers=costs.crossovers(prices, found),
    )  # fmt: skip
    show(answer, Console(width=100))
    said = capsys.readouterr().out
    for words in (
        "version 1 of shift, on this machine",
        "1,142 ms",
        "100,000 calls a day, in USD",
        "openwhisk is cheaper than kubernetes below 1,393,976 calls a day, and dearer above",
        f"prices: {SHIPPED} (examples: docs/fit.md",
        "page: fit.html",
    ):
        assert words in said
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
    assert ["kubernetes", "always-on", "2", "0.59", "5.92"] in rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shift"], "has no champion (versions: 1)"),
        (["shift", "--version", "7"], "has no version 7 (versions: 1)"),
        (["nobody"], "'nobody' has no champion (versions: none)"),
        (["shift", "--version", "1", "--prices", "none.toml"], "none.toml cannot be read"),
        (
            ["shift", "--version", "1", "--html", "no/such/folder.html"],
            "expected a file in a folder that is there and can",
        ),
        (["shift", "--version", "1", "--calls-a-day", "0"], "Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_starts(
    penstock: Penstock, shop: Shop, arguments: list[str], said: str
) -> None:
    """No such version, no prices, nowhere to write: the words, and no job."""
    shop.register()
    ran = penstock("fit", *arguments)
    assert ran.code in (PenstockError.exit_code, SpecError.exit_code)
    assert said in ran.stderr
    assert "[progress]" not in ran.stderr


def test_a_version_without_a_package_is_not_measured(penstock: Penstock, shop: Shop) -> None:
    """One that a person registered has none; one whose package was removed is said to be gone."""
    shop.register()
    shop.registry.client.create_model_version("shift", source="file:///none")
    ran = penstock("fit", "shift", "--version", "2")
    assert "version 2 of shift has no function package: it was registered by hand" in ran.stderr
    shop.store.remove(shop.package("1").rpartition("/")[0])
    ran = penstock("fit", "shift", "--version", "1")
    assert ran.code == StoreError.exit_code
    assert "key1" in ran.stderr


def test_a_package_that_does_not_prove_itself_is_not_measured(penstock: Penstock, shop: Shop) -> None:
    """The runtime's own reason is told, with the status of a failed deployment, and nothing is left."""
    shop.register()
    path = Path(shop.settings.store.removeprefix("file://")) / shop.package("1") / "package" / "model.onnx"
    path.write_bytes(b"none")
    ran = penstock("fit", "shift", "--version", "1", "--json")
    assert ran.code == 9
    assert "version 1 of shift cannot be measured" in ran.answer["error"]["message"]
    assert "model.onnx" in ran.answer["error"]["message"]
    assert list((shop.settings.var / "tmp").iterdir()) == []
