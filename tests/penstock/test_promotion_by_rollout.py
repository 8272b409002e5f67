"""Promotion by a rollout: the alias moves when the last step has passed, or the old version stays, with the reason."""

from __future__ import annotations

import threading

import pytest

from penstock.errors import DeployError
from penstock.promotion import Live
from penstock.registry import PROMOTED_AT, ROLLOUT, ROLLOUT_BECAUSE
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.host.harness import until
from tests.penstock.rolling import NEVER, SOON, breaking, callers, promote
from tests.penstock.shop import Shop


def champion(shop: Shop) -> str:
    found = shop.registry.champion("shift")
    assert found is not None
    return found.version


def tags(shop: Shop, version: str) -> dict[str, str]:
    found = shop.registry.version("shift", version)
    assert found is not None
    return dict(found.tags)


def rollout_state(shop: Shop) -> str:
    found = EmbeddedTarget(shop.settings.host_state).status("shift").rollout
    return found.state if found else "none"


def test_a_good_version_is_the_champion_once_it_has_all_traffic(shop: Shop) -> None:
    """The alias stays until then; the verdict is on the answer and on the version. Made again it changes nothing.

    A first version is live at once, as there is nothing to compare it with.
    """
    first = shop.register()
    live = shop.promotion.promote(first, shop.package(first), judged_against=None, rollout=NEVER, run="run")
    assert (live.version, live.canary, rollout_state(shop)) == ("1", None, "none")
    version = shop.register()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        assert champion(shop) == "1"
        assert tags(shop, version)[ROLLOUT] == "under way"

    with callers(shop) as refused:
        live = shop.promotion.promote(
            version, shop.package(version), judged_against="1", rollout=SOON, run="run", say=say
        )
    assert refused == []
    assert said[0] == "rollout under way: 50 % of requests, stage 1 of 1"
    assert (live.version, champion(shop)) == ("2", "2")
    assert live.canary is not None
    assert live.canary.passed
    assert tags(shop, version)[ROLLOUT] == "promoted"
    since = tags(shop, version)[PROMOTED_AT]
    again = promote(shop, version, SOON)
    assert again == live
    assert tags(shop, version)[PROMOTED_AT] == since
    assert champion(shop) == "2"


def test_what_nobody_followed_is_finished(shop: Shop) -> None:
    """Who follows is killed, the rollout goes on: reconcile enters its end, or the same promotion made again does."""
    shop.promote()
    bad = breaking(shop)
    assert promote(shop, bad, NEVER, killed=True) is None
    with callers(shop) as refused:
        until(lambda: rollout_state(shop) == "worse", "it is taken back", 60)
    assert refused == []
    assert tags(shop, bad)[ROLLOUT] == "under way"
    live = shop.promotion.reconcile()
    assert live is not None
    assert (live.version, champion(shop), tags(shop, bad)[ROLLOUT]) == ("1", "1", "worse")
    assert tags(shop, bad)[ROLLOUT_BECAUSE].startswith("errors: ")
    again = promote(shop, bad, NEVER)
    assert again is not None
    assert again.canary is not None
    assert not again.canary.passed

    good = shop.register()
    assert promote(shop, good, NEVER, killed=True, run="first") is None
    EmbeddedTarget(shop.settings.host_state).steer("shift", "promote")
    shop.promotion.roll_back("1")
    shop.promotion.reconcile()
    assert (champion(shop), tags(shop, good)[ROLLOUT]) == ("1", "aborted")

    assert promote(shop, good, SOON, killed=True) is None
    assert shop.promotion.reconcile() is not None, "one under way goes on"
    assert rollout_state(shop) == "under way"
    with callers(shop) as refused:
        until(lambda: rollout_state(shop) == "promoted", "it takes over", 60)
    assert refused == []
    assert champion(shop) == "1"
    live = promote(shop, good, SOON)
    assert live is not None
    assert (live.version, champion(shop)) == ("3", "3")


def test_one_at_a_time_and_going_back_ends_it(shop: Shop) -> None:
    """Another version is refused and leaves no trace. Going back to any version gives it all traffic, and whoever followed the
    rollout hears of it.
    """
    shop.promote()
    version, other = shop.register(), shop.register()
    ends: list[Live | None] = []
    follower = threading.Thread(target=lambda: ends.append(promote(shop, version, NEVER)))
    follower.start()
    until(lambda: rollout_state(shop) == "under way", "it is under way", 60)
    with pytest.raises(DeployError, match=r"rollout of version 3 .* could not begin: .* is being rolled out"):
        promote(shop, other, NEVER, run="another")
    assert ROLLOUT not in tags(shop, other)
    shop.promotion.roll_back(other)
    follower.join(60)
    (live,) = ends
    assert live is not None
    assert (live.version, champion(shop)) == (other, other)
    assert live.canary is not None
    assert not live.canary.passed
    assert tags(shop, version)[ROLLOUT] == "aborted"
