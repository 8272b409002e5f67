"""`penstock rollout`, and what `status` and `rollback` make of one, on a real host and registry."""

from __future__ import annotations

import pytest

from penstock.cli.rollout import in_words
from penstock.registry import ROLLOUT
from penstock.rollout.record import RolloutStatus, SideStatus
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.cli.conftest import Penstock
from tests.penstock.rolling import NEVER, promote
from tests.penstock.shop import Shop


@pytest.fixture
def rolled(shop: Shop) -> Shop:
    """Version 1 serves, version 2 is rolled out, and nobody follows it: as when Airflow is down."""
    shop.promote()
    promote(shop, shop.register(), NEVER, killed=True)
    return shop


def test_a_rollout_is_shown_and_steered(penstock: Penstock, rolled: Shop) -> None:
    """By itself and in `status`: whose share, how far, and what both answered; paused, resumed, aborted, with its end.

    `rollback` ends one, too, and enters that on the version.
    """
    EmbeddedTarget(rolled.settings.host_state).invoke("shift", {"x": 1.0})
    found = penstock("rollout", "shift", "--json").answer
    assert found["serving"] == "1"
    assert (found["rollout"]["version"], found["rollout"]["state"]) == ("2", "under way")
    assert found["rollout"]["candidate"]["requests"] + found["rollout"]["champion"]["requests"] == 1
    (told,) = penstock("status", "--json").answer["pipelines"]
    assert told["rollout"] == found["rollout"]
    shown = "version 2 has 50 % (stage 1 of 1): "
    for arguments in (("rollout", "shift"), ("status",)):
        assert shown in " ".join(penstock(*arguments).stdout.split())
    for doing, state in (("pause", "paused"), ("resume", "under way"), ("abort", "aborted")):
        assert penstock("rollout", "shift", doing, "--json").answer["rollout"]["state"] == state
    ran = penstock("rollout", "shift", "pause")
    assert ran.code == 9
    assert "no rollout of shift is in course" in ran.stderr
    assert "ended as aborted: by a person" in " ".join(penstock("status").stdout.split())

    promote(rolled, "2", NEVER, killed=True, run="again")
    ran = penstock("rollback", "shift", "--json")
    assert (ran.answer["before"], ran.answer["version"]) == ("1", "1")
    version = rolled.registry.version("shift", "2")
    assert version is not None
    assert version.tags[ROLLOUT] == "aborted"


def test_promoted_by_a_person_it_is_entered_by_reconcile(penstock: Penstock, rolled: Shop) -> None:
    """It serves at once; `status` says what enters it in the registry, and that does."""
    assert penstock("rollout", "shift", "promote", "--json").answer["serving"] == "2"
    said = "penstock reconcile shift enters that version 2 was promoted"
    assert said in " ".join(penstock("status").stdout.split())
    assert penstock("reconcile", "shift", "--json").answer["pipelines"][0]["version"] == "2"
    (told,) = penstock("status", "--json").answer["pipelines"]
    assert (told["champion"]["version"], told["serving"]) == ("2", "2")
    assert "rollout" not in penstock("status").stdout


def test_labels_are_told_where_there_are_some() -> None:
    """How many came for each side, and once they were compared their mean losses."""
    side = SideStatus(requests=40, errors=1, refusals=0, p99=0.0031, labels=20)
    status = RolloutStatus(
        revision="v2-0123456789ab", version="2", run="r", state="under way", reason="", share=5, stage=1, stages=3, least=500,
        began="", since="", candidate=side.model_copy(update={"loss": 0.25}), champion=side,
    )  # fmt: skip
    assert in_words(status).endswith(
        "1 failed, 0 were refused, p99 3.1 ms, 20 labels, mean loss 0.25; "
        "of the champion's 40 1 failed, 0 were refused, p99 3.1 ms, 20 labels"
    )


def test_where_there_is_none(penstock: Penstock, shop: Shop) -> None:
    """Before the first one."""
    shop.promote()
    assert "no rollout yet; version 1 serves" in penstock("rollout", "shift").stdout
