"""deploy: what its verdict let through goes live by the package that was judged, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from penstock.errors import DeployError, PenstockError, Stale
from penstock.registry import ROLLOUT
from penstock.results import StageResult
from penstock.targets.embedded import EmbeddedTarget
from tests.jobs.driver import Driver, Ran
from tests.penstock.rolling import breaking, callers
from tests.penstock.shop import Shop


def judged(shop: Shop, version: str, against: str | None, state: Literal["ran", "refused"]) -> StageResult:
    """A verdict on a version, as validate_model leaves it."""
    champion = {} if against is None else {"champion": _registered(shop, against).as_input()}
    verdict = StageResult(
        pipeline="shift", stage="validate_model", subject="", key=f"verdict-on-{version}", attempt="won",
        digest="v", state=state, spec={}, inputs=champion, summary={},
        started="2024-01-01T00:00:00+00:00", seconds=1.0,
    )  # fmt: skip
    shop.store.commit(verdict)
    return verdict


def _registered(shop: Shop, version: str) -> StageResult:
    return shop.store.result_at(shop.package(version))


def deploy(shop: Shop, folder: Path, version: str, verdict: StageResult, **declared: object) -> Ran:
    """`python -m jobs.deploy` of a version with its verdict, for a function that is `declared` so."""
    driver = Driver("deploy", shop.settings, "shift")
    item = driver.item(
        {"function": "shift", "declared": {"target": "embedded", **declared}},
        inputs={"validate_model": verdict.as_input(), "register": _registered(shop, version).as_input()},
    )
    return driver.process(item, folder)


def answer(shop: Shop) -> Any:
    """What the live name answers for x = 0."""
    return EmbeddedTarget(shop.settings.host_state).invoke("shift", {"x": 0.0})["prediction"]


def test_what_passed_goes_live(shop: Shop, tmp_path: Path) -> None:
    """The result and the task's log name version, revision and URL; the function answers as the version."""
    version = shop.register()
    ran = deploy(shop, tmp_path, version, judged(shop, version, None, "ran"))
    assert ran.status == 0, ran.said
    assert ran.result is not None
    assert ran.result.summary["version"] == version
    assert f"version 1 answers at {ran.result.summary['url']}" in ran.said
    assert ran.result.summary["revision"] == EmbeddedTarget(shop.settings.host_state).status("shift").live
    assert answer(shop) == 1.0


def test_a_refused_version_is_not_deployed(shop: Shop, tmp_path: Path) -> None:
    """Even asked to, it does not put a refused version live: nothing moves, and nothing is committed."""
    shop.promote()
    version = shop.register()
    ran = deploy(shop, tmp_path, version, judged(shop, version, "1", "refused"))
    assert (ran.status, ran.outcome.kind, ran.result) == (PenstockError.exit_code, PenstockError.kind, None)
    assert ran.outcome.message == "version 2 was refused by its gates and cannot be deployed"
    assert answer(shop) == 1.0


def test_a_verdict_on_an_old_champion_is_stale(shop: Shop, tmp_path: Path) -> None:
    """Judged against version 1, while version 2 was promoted: the run has to judge again."""
    shop.promote()
    late = shop.register()
    verdict = judged(shop, late, "1", "ran")
    shop.promote()
    ran = deploy(shop, tmp_path, late, verdict)
    assert (ran.status, ran.outcome.kind, ran.result) == (Stale.exit_code, Stale.kind, None)
    assert answer(shop) == 3.0


def test_a_package_that_does_not_prove_itself_keeps_the_old_one(shop: Shop, tmp_path: Path) -> None:
    """The host scores its samples before anything moves: a package that answers otherwise is refused with the reason."""
    shop.promote()
    version = shop.register()
    samples = Path(shop.store.path(f"{shop.package(version)}/package/samples.json"))
    samples.write_text(samples.read_text().replace('"prediction": 3.0', '"prediction": 4.0'))
    ran = deploy(shop, tmp_path, version, judged(shop, version, "1", "ran"))
    assert ran.status == DeployError.exit_code
    assert ran.outcome.message is not None
    assert "samples.json" in ran.outcome.message
    assert ran.result is None
    assert answer(shop) == 1.0


def test_asked_again_it_is_done_already(shop: Shop, tmp_path: Path) -> None:
    """The same item again does nothing: one revision, the first result."""
    version = shop.register()
    verdict = judged(shop, version, None, "ran")
    first, second = (deploy(shop, tmp_path, version, verdict).result for _ in range(2))
    assert first is not None
    assert first == second
    assert len(EmbeddedTarget(shop.settings.host_state).status("shift").revisions) == 1


def test_what_is_worse_in_its_rollout_is_refused(shop: Shop, tmp_path: Path) -> None:
    """The stage ends well and refused, by the gate `canary`; callers were all answered, by the old version in the end."""
    shop.promote()
    version = breaking(shop)
    plan = {"steps": [50], "requests": 10**9}
    with callers(shop) as refused:
        ran = deploy(shop, tmp_path, version, judged(shop, version, "1", "ran"), rollout=plan)
    assert refused == []
    assert (ran.status, ran.result and ran.result.state) == (0, "refused"), ran.said
    assert ran.result is not None
    (gate,) = ran.result.gates
    assert (gate.name, gate.passed) == ("canary", False)
    assert gate.why.startswith("the rollout of version 2 ended as worse: errors: ")
    assert "rollout under way: 50 % of requests" in ran.said
    champion, rolled = shop.registry.champion("shift"), shop.registry.version("shift", version)
    assert champion is not None
    assert rolled is not None
    assert (champion.version, rolled.tags[ROLLOUT]) == ("1", "worse")
    assert answer(shop) == 1.0
