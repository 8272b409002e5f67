"""Activations by themselves, without a host: which records stay, what is kept of a log, how long a sequence may become."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from penstock.host.openwhisk import actions, activations
from penstock.host.openwhisk.entities import Action
from penstock.host.openwhisk.invoking import MAX_COMPONENTS, Invoker
from penstock.host.openwhisk.namespaces import Namespace


def test_the_oldest_activations_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each namespace the latest are kept; another one's are not touched."""
    monkeypatch.setattr(activations, "KEPT", 5)
    monkeypatch.setattr(activations, "_EVERY", 10)
    kept = activations.Activations(tmp_path / "activations.db")
    kept.keep("other", "x", {"activationId": "other", "start": 0})
    for number in range(9):
        kept.keep("guest", "x", {"activationId": str(number), "start": number})
    found = kept.find("guest", activations.Which())
    assert [record["activationId"] for record in found] == ["8", "7", "6", "5", "4"]
    assert kept.record("other", "other") is not None
    assert kept.record("guest", "other") is None
    kept.close()


def test_what_a_long_log_keeps() -> None:
    """Up to the action's limit, and a line that says that there was more."""
    printed = actions.Printed(80)
    for line in (b"12345", b"67890", b"1", b"2"):
        printed("out", line)
    assert [line.partition("Z ")[2] for line in printed.lines] == [
        "stdout: 12345",
        "stdout: 67890",
        "stderr: Logs were truncated: they have more bytes than the action's limit.",
    ]


def test_components_that_have_become_sequences(tmp_path: Path) -> None:
    """They are no way around the bound on a sequence: the activation ends when it has had so many components."""

    class Answering:
        """Instead of actions with processes: counts."""

        asked = 0

        async def run(self, *given: object) -> actions.Outcome:
            self.asked += 1
            return actions.Outcome(actions.SUCCESS, {}, [])

    def named(name: str, *components: str) -> Action:
        return Action(name=name, components=[f"/guest/{each}" for each in components] or None)

    found = [named("leaf"), named("branch", *["leaf"] * 40), named("tree", *["branch"] * 40)]
    held = Namespace(name="guest", identity="", secret_sha256="", actions={each.path: each for each in found})
    answering, kept = Answering(), activations.Activations(tmp_path / "activations.db")
    invoker = Invoker(cast(actions.Actions, answering), kept, lambda name: held)
    record = asyncio.run(invoker.activate("guest", found[-1], {}, "1"))
    assert record["response"]["result"] == {"error": "Too many actions in the sequence."}
    assert answering.asked < MAX_COMPONENTS
    kept.close()
