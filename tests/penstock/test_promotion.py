"""Promotion: the alias, the tags and the live pointer move together, or nothing does; whatever fails, whenever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.errors import DeployError, Stale, StoreError
from penstock.promotion import Promotion
from penstock.registry import CHALLENGER, PROMOTED_AT, REGISTER_PATH, ROLLOUT, ROLLOUT_BECAUSE
from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.shop import Shop

#: Every call of a promotion that changes something, on the registry or the target.
CHANGES = ("put", "set_alias", "drop_alias", "tag", "drop_tag", "route")


class Killed(BaseException):
    """Ends a promotion where it stands, as SIGKILL does: no handler of ours runs."""


@dataclass
class Tripwire:
    """The real registry or target; the `at`-th change counted over both raises, before or after it is made."""

    real: Any
    count: list[int]
    at: int
    error: BaseException
    after: bool

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        return self._watched(found) if name in CHANGES else found

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            self.count[0] += 1
            trips = self.count[0] == self.at
            if trips and not self.after:
                raise self.error
            done = call(*args, **kwargs)
            if trips:
                raise self.error
            return done

        return change


def promotion(shop: Shop, at: int, error: BaseException, *, after: bool) -> tuple[Promotion, list[int]]:
    count = [0]
    target = Tripwire(EmbeddedTarget(shop.settings.host_state), count, at, error, after)
    registry = Tripwire(shop.registry, count, at, error, after)
    return Promotion(shop.settings, "shift", "shift", target, registry), count  # type: ignore[arg-type]


def state(shop: Shop) -> dict[str, Any]:
    """Aliases, tags (of a time only that it is there) and what answers."""
    versions = shop.registry.versions("shift")
    aliases = {name: shop.registry.by_alias("shift", name) for name in ("champion", CHALLENGER)}
    target = EmbeddedTarget(shop.settings.host_state)
    return {
        "aliases": {name: found.version if found else None for name, found in aliases.items()},
        "tags": {v.version: {**v.tags, **({PROMOTED_AT: "then"} if PROMOTED_AT in v.tags else {})} for v in versions},
        "live": target.status("shift").live,
        "answer": target.invoke("shift", {"x": 0.0})["prediction"],
    }  # fmt: skip


def test_a_promotion_moves_everything(shop: Shop) -> None:
    """The alias names the version, the challenger is none any more, the tag says since when, and it answers."""
    shop.promote()
    shop.promote()
    found = state(shop)
    assert found["aliases"] == {"champion": "2", CHALLENGER: None}
    assert PROMOTED_AT in found["tags"]["2"]
    assert found["answer"] == 2.0


def test_a_verdict_on_an_old_champion_is_stale(shop: Shop) -> None:
    """Where another version was promoted since, nothing moves."""
    shop.promote()
    version = shop.register()
    before = state(shop)
    with pytest.raises(
        Stale, match="version 2 was judged against version none, and version 1 is the champion"
    ):
        shop.promotion.promote(version, shop.package(version), judged_against=None)
    assert state(shop) == before


def test_only_what_is_signed_goes_live(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where keys are trusted, a package without their signature moves nothing, by whatever command; signed, it does."""
    shop.promote()
    private, public = generate()
    monkeypatch.setenv(PUBLIC_KEYS, public)
    before = state(shop)
    unsigned = shop.register()
    with pytest.raises(DeployError, match="the package is not signed") as caught:
        shop.promotion.promote(unsigned, shop.package(unsigned), judged_against="1")
    assert "--force register" in str(caught.value)
    with pytest.raises(DeployError, match="the package is not signed"):
        shop.promotion.roll_back(unsigned)
    assert {**state(shop), "aliases": None, "tags": None} == {**before, "aliases": None, "tags": None}
    monkeypatch.setenv(SIGNING_KEY, private)
    shop.promotion.promote(shop.register(), shop.package("3"), judged_against="1")
    assert state(shop)["answer"] == 3.0


def test_killed_after_any_change_it_is_finished_by_the_next(shop: Shop) -> None:
    """A promotion cut short at any change, then made again, ends as an undisturbed one; so does a reconcile of it."""
    shop.promote()
    second = shop.register()
    start = state(shop)
    shop.promotion.promote(second, shop.package(second), judged_against="1")
    undisturbed = state(shop)
    at, cut = 1, 0
    while True:
        shop.promotion.roll_back("1")
        shop.registry.set_alias("shift", CHALLENGER, second)
        shop.registry.drop_tag("shift", second, PROMOTED_AT)
        assert state(shop) == start
        killed, _ = promotion(shop, at, Killed(), after=True)
        try:
            killed.promote(second, shop.package(second), judged_against="1")
        except Killed:
            cut += 1
            assert state(shop)["answer"] in (1.0, 2.0)
            shop.promotion.promote(second, shop.package(second), judged_against="1")
        assert state(shop) == undisturbed
        if cut < at:
            break
        at += 1
    assert cut == 5  # put, alias, tags, challenger, route


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failure_at_any_change_puts_all_back(shop: Shop, after: bool) -> None:
    """The target or the registry fails once, at any change, before or after making it: the old version is whole."""
    shop.promote()
    second = shop.register()
    before = state(shop)
    for at in range(1, 6):
        failing, count = promotion(shop, at, TargetError("the disk of the target is full"), after=after)
        with pytest.raises(DeployError, match="the disk of the target is full"):
            failing.promote(second, shop.package(second), judged_against="1")
        assert count[0] >= at
        assert state(shop) == before, f"change {at}"
        failing, _ = promotion(shop, at, OSError("the registry is down"), after=after)
        with pytest.raises(OSError, match="the registry is down"):
            failing.promote(second, shop.package(second), judged_against="1")
        assert state(shop) == before, f"change {at}"


def test_a_failure_after_a_crash_goes_back_to_what_serves(shop: Shop) -> None:
    """Killed with only the alias moved, then refused by the target: the alias follows what answers, and says so."""
    shop.promote()
    second = shop.register()
    killed, _ = promotion(shop, 2, Killed(), after=True)
    with pytest.raises(Killed):
        killed.promote(second, shop.package(second), judged_against="1")
    assert state(shop)["aliases"]["champion"] == "2"
    failing, _ = promotion(shop, 4, TargetError("no"), after=False)
    with pytest.raises(DeployError, match="version 2 of shift could not go live: no; version 1 is back"):
        failing.promote(second, shop.package(second), judged_against="1")
    assert state(shop)["aliases"] == {"champion": "1", CHALLENGER: "2"}
    assert state(shop)["answer"] == 1.0


def test_a_target_that_dies_leaves_the_registry_as_it_was(shop: Shop) -> None:
    """The host is gone from the first route on: the alias and tags go back all the same, and the error says the rest."""
    shop.promote()
    second = shop.register()
    tags = {version.version: dict(version.tags) for version in shop.registry.versions("shift")}

    class Dying(EmbeddedTarget):
        def route(self, name: str, revision: str) -> None:
            self.stop()
            super().route(name, revision)

    dying = Promotion(shop.settings, "shift", "shift", Dying(shop.settings.host_state), shop.registry)
    with pytest.raises(
        DeployError, match=r"could not go live: no function host runs .* run `penstock reconcile shift`"
    ):
        dying.promote(second, shop.package(second), judged_against="1")
    assert {version.version: dict(version.tags) for version in shop.registry.versions("shift")} == tags
    champion, challenger = shop.registry.champion("shift"), shop.registry.by_alias("shift", CHALLENGER)
    assert champion is not None
    assert challenger is not None
    assert (champion.version, challenger.version) == ("1", "2")
    shop.promotion.reconcile()
    assert state(shop)["answer"] == 1.0


def test_a_first_version_that_fails_leaves_nothing(shop: Shop) -> None:
    """Where nothing served before, nothing does after: no champion, no claim of a version that is back."""
    version = shop.register()
    failing, _ = promotion(shop, 5, TargetError("no"), after=False)
    with pytest.raises(DeployError, match="nothing serves"):
        failing.promote(version, shop.package(version), judged_against=None)
    assert shop.registry.champion("shift") is None
    assert shop.promotion.promote(version, shop.package(version), judged_against=None).version == "1"


def test_a_package_that_does_not_prove_itself_moves_nothing(shop: Shop) -> None:
    """Its samples have other answers than it gives: refused before anything moved."""
    shop.promote()
    version = shop.register()
    package = shop.make_function(2, sample=7.0)
    shop.store.remove(f"{shop.package(version)}/package")
    shop.store.put(package, f"{shop.package(version)}/package")
    before = state(shop)
    with pytest.raises(TargetError, match="did not prove itself"):
        shop.promotion.promote(version, shop.package(version), judged_against="1")
    assert state(shop) == before


def test_the_attempt_that_won_is_deployed(shop: Shop) -> None:
    """Two attempts at one key tag the version in any order: the tag may name the loser, the winner's package is used."""
    shop.promote()
    shop.promote()
    for version in ("1", "2"):
        shop.registry.tag("shift", version, {REGISTER_PATH: f"shift/register/key{version}/lost"})
    assert shop.promotion.roll_back("1").version == "1"
    shop.registry.tag("shift", "1", {REGISTER_PATH: "shift/register/key1/lost"})
    live = shop.promotion.reconcile()
    assert live is not None
    assert live.version == "1"
    assert shop.registry.version("shift", "1").register_path == "shift/register/key1/won"  # type: ignore[union-attr]


def test_a_registration_that_is_gone_is_named(shop: Shop) -> None:
    """A version whose package was removed from the store cannot come back, and the error says what is gone."""
    shop.promote()
    shop.promote()
    shop.store.remove("shift/register/key1")
    with pytest.raises(StoreError, match="the store has no register of key key1"):
        shop.promotion.roll_back("1")


def test_another_package_of_the_live_version(shop: Shop) -> None:
    """The same version by another package is another revision, and what reconcile and rollback bring from then on."""
    shop.promote()
    shop.register(offset=10, of="1")
    old = state(shop)["live"]
    shop.promotion.promote("1", shop.package("1", 10), judged_against=None)
    assert state(shop)["answer"] == 10.0
    assert state(shop)["live"] != old
    shop.promotion.reconcile()
    assert state(shop)["answer"] == 10.0


def test_reconciling_what_serves_already_changes_nothing(shop: Shop) -> None:
    """Not even since when."""
    shop.promote()
    since = shop.registry.versions("shift")[0].tags[PROMOTED_AT]
    before = state(shop)
    shop.promotion.reconcile()
    assert state(shop) == before
    assert shop.registry.versions("shift")[0].tags[PROMOTED_AT] == since


_PROMOTE = """
import sys
from penstock import settings
from penstock.errors import Stale
from penstock.promotion import Promotion
from penstock.registry import Registry
from penstock.targets.embedded import EmbeddedTarget

here = settings.load()
promotion = Promotion(here, "shift", "shift", EmbeddedTarget(here.host_state), Registry(here.mlflow_uri))
print("ready", flush=True)
sys.stdin.readline()
try:
    promotion.promote(sys.argv[1], sys.argv[2], judged_against="1")
    print("live")
except Stale:
    print("stale")
"""


def test_of_many_at_once_one_is_promoted(shop: Shop) -> None:
    """Processes that judged four versions against the same champion promote at once: one wins, the others are stale."""
    shop.promote()
    versions = [shop.register() for _ in range(4)]
    processes = {
        version: subprocess.Popen(
            [sys.executable, "-c", _PROMOTE, version, shop.package(version)],
            env={**os.environ, **shop.settings.environment()},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for version in versions
    }  # fmt: skip
    for process in processes.values():
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = {version: process.communicate()[0] for version, process in processes.items()}
    assert sorted(said.values()) == ["live\n", "stale\n", "stale\n", "stale\n"]
    winner = next(version for version, word in said.items() if word == "live\n")
    found = state(shop)
    assert found["aliases"]["champion"] == winner
    assert found["answer"] == float(winner)


def test_a_rollout_that_the_target_knows_nothing_of_is_entered(shop: Shop) -> None:
    """Its live name was taken away by hand, or who began it was killed before it did: the registry does not have it under way for ever."""
    shop.promote()
    version = shop.register()
    shop.registry.tag("shift", version, {ROLLOUT: "under way"})
    live = shop.promotion.keep_up()
    assert live is not None
    assert live.version == "1"
    found = shop.registry.version("shift", version)
    assert found is not None
    assert (found.tags[ROLLOUT], found.tags[ROLLOUT_BECAUSE]) == (
        "aborted", "the target knows of no such rollout any more"
    )  # fmt: skip
    assert shop.promotion.keep_up() is None


def test_a_rollout_has_the_champion_beside_it(shop: Shop) -> None:
    """Where somebody took the function away, it is brought back first: no version takes its place unseen."""
    shop.promote()
    EmbeddedTarget(shop.settings.host_state).remove("shift")
    version = shop.register()
    plan = Rollout(steps=(50,), requests=1000, minutes=0)
    promotion = shop.promotion
    with promotion._lock():
        wanted = promotion._known(version)
        revision = promotion._begin(wanted, shop.package(version), plan, "run")
    assert revision is not None
    status = EmbeddedTarget(shop.settings.host_state).status("shift")
    assert status.serving is not None
    assert status.serving.version == "1"
    assert status.rollout is not None
    assert status.rollout.revision == revision
    promotion.abort_rollout()


def test_what_is_lost_is_mended(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves is the champion by name, and not all of it leads there: it is deployed again."""
    shop.promote()
    promotion, real = shop.promotion, EmbeddedTarget.status
    lost = iter([("a Service",), ("a Service",)])
    monkeypatch.setattr(
        EmbeddedTarget,
        "status",
        lambda *given: real(*given).model_copy(update={"lost": next(lost, ())}),
    )
    live = promotion.keep_up()
    assert live is not None
    assert promotion.keep_up() is None
