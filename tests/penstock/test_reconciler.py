"""Reconciling again and again: what is behind is brought up, what fails is told once and tried again, and nothing else is touched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from penstock.errors import DeployError
from penstock.promotion import Live, Promotion
from penstock.reconciler import Reconciler
from penstock.registry import CHAMPION, ROLLOUT
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.rolling import NEVER, promote
from tests.penstock.shop import Shop


def serving(shop: Shop) -> str | None:
    found = EmbeddedTarget(shop.settings.host_state).status("shift").serving
    return found.version if found else None


def test_where_all_is_as_it_should_be_nothing_is_touched(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a champion, and with one that serves: a look takes no lock."""
    monkeypatch.setattr(
        Promotion, "_lock", lambda _: pytest.fail("it is not to be held up, and to hold up nobody")
    )
    assert shop.promotion.keep_up() is None
    monkeypatch.undo()
    shop.promote()
    monkeypatch.setattr(
        Promotion, "_lock", lambda _: pytest.fail("it is not to be held up, and to hold up nobody")
    )
    assert shop.promotion.keep_up() is None


def test_what_is_behind_is_brought_up(shop: Shop) -> None:
    """An alias that a person moved, a function that somebody took away, and the end of a rollout that nobody followed."""
    shop.promote()
    shop.promote()
    shop.registry.set_alias("shift", CHAMPION, "1")
    shop.promotion.keep_up()
    assert serving(shop) == "1"
    target = EmbeddedTarget(shop.settings.host_state)
    target.remove("shift")
    shop.promotion.keep_up()
    assert serving(shop) == "1"
    version = shop.register()
    assert promote(shop, version, NEVER, killed=True) is None
    live = shop.promotion.keep_up()
    assert live is not None
    assert live.version == "1", "one under way goes on"
    target.steer("shift", "promote")
    shop.promotion.keep_up()
    champion = shop.registry.champion("shift")
    assert champion is not None
    assert (champion.version, champion.tags[ROLLOUT], serving(shop)) == (version, "promoted", version)
    assert shop.promotion.keep_up() is None


Look = Callable[[], Live | None]


class Looks:
    """In the place of a promotion: what each look finds, one after another."""

    def __init__(self, *looks: Look) -> None:
        self._left = iter(looks)
        self.taken = 0

    def keep_up(self) -> Live | None:
        self.taken += 1
        return next(self._left)()


def well() -> None:
    return None


def serves(version: str) -> Look:
    return lambda: Live(version, f"r{version}", "http://here")


def fails(error: Exception) -> Look:
    def look() -> None:
        raise error

    return look


def looked(beat: Path, pipelines: Mapping[str, Looks], ended: Callable[[], bool]) -> list[str]:
    """What is said until that is so."""
    said: list[str] = []

    def names() -> Iterator[str]:
        if ended():
            raise KeyboardInterrupt
        yield from pipelines

    Reconciler(names, pipelines.__getitem__, 0.001, said.append, beat).run()  # type: ignore[arg-type]
    assert beat.is_file()
    return said


def test_each_change_and_each_failure_is_told_once(tmp_path: Path) -> None:
    """A failure stays what it is until it is another one, or is over; whoever wrote it, the next look is taken."""
    refused = DeployError("it is full", next_step="make room")
    looks = (
        well,
        serves("2"),
        serves("2"),
        well,
        serves("2"),
        fails(refused),
        fails(refused),
        fails(OSError("gone")),
        well,
        well,
    )
    pipeline = Looks(*looks)
    assert looked(tmp_path / "beat", {"shift": pipeline}, lambda: pipeline.taken == len(looks)) == [
        "shift: version 2 serves at http://here",
        "shift: version 2 serves at http://here",
        "shift: it is full. To do: make room",
        "shift: OSError: gone",
        "shift: nothing is to be done any more",
    ]  # fmt: skip


def test_one_that_hangs_holds_up_no_other_and_is_let_end(tmp_path: Path) -> None:
    """While its look lasts it is looked at no second time; the others are. What was begun ends before all does."""
    release = threading.Event()

    def hangs() -> Live | None:
        release.wait(60)
        return serves("9")()

    slow, quick = Looks(hangs), Looks(*[well] * 50)

    def ended() -> bool:
        if quick.taken < 50:
            return False
        release.set()
        return True

    assert looked(tmp_path / "beat", {"slow": slow, "quick": quick}, ended) == [
        "slow: version 9 serves at http://here"
    ]
    assert slow.taken == 1
