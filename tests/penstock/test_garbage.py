"""Garbage collection: what something leads to is never removed, what nothing leads to is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from penstock import predictions
from penstock.errors import PenstockError
from penstock.garbage import Collector, Garbage, Keep
from penstock.intervals import Interval
from penstock.record import Entry, ItemEntry, Run, Runs, jobs_of
from penstock.registry import Registry
from penstock.results import Input, StageResult
from penstock.settings import Settings
from penstock.spec.durations import Duration
from penstock.store import Store
from penstock.work import application_of, events_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(days=100), NOW - timedelta(hours=1)
INTERVAL = Interval(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC))


@dataclass(frozen=True)
class World:
    """A store to fill, and what the registry says of it (the registry itself is tested in test_registry.py)."""

    settings: Settings

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    def result(
        self, stage: str, key: str, inputs: Sequence[StageResult] = (), made: datetime = OLD
    ) -> StageResult:
        """A key with a winning attempt of one file."""
        result = StageResult(
            pipeline="p", stage=stage, subject="", key=key, attempt="won", digest=key, state="ran",
            inputs={str(number): each.as_input() for number, each in enumerate(inputs)}
            | {"suite": Input(path="expectations/p/rows.json", digest="d")},
            started=made.isoformat(), seconds=1.0,
        )  # fmt: skip
        self.attempt(stage, key, "won", made)
        return self.store.commit(result)

    def attempt(self, stage: str, key: str, attempt: str, made: datetime = OLD) -> Path:
        return self.write(f"p/{stage}/{key}/{attempt}/data", made).parent

    def write(self, relative: str, made: datetime) -> Path:
        """A file of ten bytes, as old as that, and its folder with it."""
        file = Path(self.store.path(relative))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("ten bytes!")
        for path in (file, file.parent):
            os.utime(path, (made.timestamp(), made.timestamp()))
        return file

    def run(self, name: str, results: list[StageResult], started: datetime) -> None:
        runs = Runs(self.store)
        run = runs.create(Run(run=name, pipeline="p", interval=INTERVAL, window=[INTERVAL], started=started))
        for result in results:
            item = ItemEntry(subject="", key=result.key, path=result.path, state="ran")
            runs.write(run, Entry(stage=result.stage, state="ran", why="w", items=[item], ended=started))

    def collector(self, versions: list[tuple[StageResult, StageResult | None]], **keep: Any) -> Collector:
        """Collects with a registry of versions, each a register result and a verdict."""
        known = [
            SimpleNamespace(register_path=register.path, verdict_path=verdict.path if verdict else None)
            for register, verdict in versions
        ]
        registry = cast(Registry, SimpleNamespace(versions=lambda name: known))
        return Collector(self.settings, registry, Keep(**keep), NOW)

    def keys(self) -> set[str]:
        return {
            f"{stage}/{key}"
            for stage in self.store.names("p")
            for key in self.store.names(f"p/{stage}")
            if stage != "_runs"
        }


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(_settings(Path(folder)))


def _settings(folder: Path) -> Settings:
    return Settings(folder, folder / "var", f"file://{folder / 'store'}", "sqlite:///none")


def paths(garbage: list[Garbage]) -> list[str]:
    return [each.path for each in garbage]


def test_a_versions_whole_history_stays(world: World) -> None:
    """What a registered version was made of is reached, through training and features to the collected data."""
    data = world.result("collect", "c")
    features = world.result("features", "f", [data])
    train = world.result("train", "t", [features])
    register = world.result("register", "r", [train])
    verdict = world.result("validate_model", "v", [train, register])
    world.result("train", "nobody's", [features])
    collector = world.collector([(register, verdict)])
    assert paths(collector.find().garbage) == ["p/train/nobody's"]
    collector.delete(collector.find().garbage)
    assert world.keys() == {"collect/c", "features/f", "train/t", "register/r", "validate_model/v"}


def test_recent_runs_stay_and_older_ones_go(world: World) -> None:
    """The newest runs keep what they used, by number and by age, whichever is more."""
    results = [world.result("collect", f"c{number}") for number in range(4)]
    ages = [1, 20, 60, 90]
    for number, age in enumerate(ages):
        world.run(f"run{number}", [results[number]], NOW - timedelta(days=age))
    assert paths(world.collector([], runs=1, days=30).find().garbage) == ["p/collect/c2", "p/collect/c3"]
    assert paths(world.collector([], runs=3, days=5).find().garbage) == ["p/collect/c3"]


def test_attempts_that_did_not_win_go_when_they_are_over(world: World) -> None:
    """A losing attempt of a day ago is garbage, one at work is not, and neither is the winner."""
    kept = world.result("collect", "c")
    world.run("run", [kept], NOW)
    world.attempt("collect", "c", "killed")
    world.attempt("collect", "c", "at-work", YOUNG)
    assert world.collector([]).find().garbage == [Garbage("p/collect/c/killed", "attempt", 10)]


def test_logs_of_spark_go_with_the_key_that_they_tell_of(world: World) -> None:
    """One of a key that is kept stays, and so does one of the day: its work goes on."""
    kept, gone = (world.result("train", f"{letter * 32}") for letter in "ab")
    world.run("run", [kept], NOW)
    logs = {
        f"eventlog_v2_{application_of('train', kept.key)}123456": OLD,
        f"eventlog_v2_{application_of('train', gone.key)}123456": OLD,
        f"eventlog_v2_{application_of('train', 'c' * 32)}123456": YOUNG,
    }
    for name, made in {**logs, ".kept": OLD}.items():
        world.write(f"{events_of('p')}/{name}", made)
    found = [each for each in world.collector([]).find().garbage if each.kind == "events"]
    assert found == [Garbage(f"{events_of('p')}/{list(logs)[1]}", "events", 10)]


def test_what_pods_were_asked_goes_when_their_run_is_old(world: World) -> None:
    """The run's own record stays: `penstock explain` reads it."""
    for number, name in enumerate(["new", "old:+"]):
        world.run(name, [], NOW - timedelta(days=90 * number))
        world.write(f"{jobs_of('p', name)}/pod-1/request.json", OLD)
    collector = world.collector([], runs=1, days=30)
    found = collector.find().garbage
    assert found == [Garbage(jobs_of("p", "old:+"), "jobs", 10)]
    collector.delete(found)
    assert world.store.names(jobs_of("p", "new")) == ["pod-1"]
    assert [record.run.run for record in Runs(world.store).all("p")] == ["new", "old:+"]


def test_logged_predictions_go_by_the_day_when_they_are_as_old_as_said(world: World) -> None:
    """A day that ended so long ago; the day after it, another pipeline's and what is no day's stay, and so does all where nothing is said."""
    for pipeline, name in [
        ("p", "2026-03-02"),
        ("p", "2026-03-03"),
        ("p", "2026-05-31"),
        ("p", "notes"),
        ("q", "2020-01-01"),
    ]:
        world.write(f"{predictions.folder(pipeline)}/{name}/14/segment.parquet", YOUNG)
    collector = world.collector([], logs={"p": Duration(days=90)})
    found = collector.find().garbage
    assert found == [Garbage("p/_predictions/2026-03-02", "predictions", 10)]
    collector.delete(found)
    assert world.store.names("p/_predictions") == ["2026-03-03", "2026-05-31", "notes"]
    assert world.collector([]).find().garbage == []


def test_a_key_at_work_stays(world: World) -> None:
    """A key that nobody has won yet is left alone while an attempt writes, and goes when it was given up."""
    world.attempt("train", "now", "a", YOUNG)
    world.attempt("train", "then", "a", OLD)
    assert paths(world.collector([]).find().garbage) == ["p/train/then"]


def test_what_a_young_result_rests_on_stays(world: World) -> None:
    """A run that is between two stages has made a key that no record names yet; its inputs are needed."""
    data = world.result("collect", "c")
    world.result("features", "f", [data], made=YOUNG)
    assert world.collector([]).find().garbage == []


def test_leftovers_of_killed_jobs_go_after_a_day(world: World) -> None:
    """The scratch folder is swept, less what was written within the day."""
    tmp = world.settings.var / "tmp"
    for name, made in (("job-old", OLD), ("job-new", YOUNG)):
        (tmp / name).mkdir(parents=True)
        (tmp / name / "file").write_text("x")
        for path in (tmp / name / "file", tmp / name):
            os.utime(path, (made.timestamp(), made.timestamp()))
    collector = world.collector([])
    found = collector.find().garbage
    assert found == [Garbage(str(tmp / "job-old"), "temporary", 1)]
    collector.delete(found)
    assert [path.name for path in tmp.iterdir()] == ["job-new"]


def test_a_dry_run_changes_nothing(world: World) -> None:
    """Looking leaves every key where it is."""
    world.result("train", "nobody's")
    world.collector([]).find()
    assert world.keys() == {"train/nobody's"}


def test_a_registry_that_knows_nothing_is_not_believed(world: World) -> None:
    """With packages in the store and no version anywhere the registry is probably the wrong one."""
    world.result("register", "r")
    with pytest.raises(PenstockError, match="has no version of p") as error:
        world.collector([]).find()
    assert "PENSTOCK_MLFLOW_URI" in str(error.value.next_step)


def test_what_a_run_came_to_use_meanwhile_stays(world: World) -> None:
    """A key that was garbage when it was found, and is a run's by the time of deleting, is spared."""
    result = world.result("collect", "c")
    collector = world.collector([])
    found = collector.find().garbage
    world.run("meanwhile", [result], NOW)
    assert collector.delete(found) == []
    assert world.keys() == {"collect/c"}


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Any]:
    """Results, each resting on some of those before it; some recent runs, old runs, versions and young results."""
    count = draw(st.integers(1, 12))
    inputs = [
        sorted(draw(st.sets(st.integers(0, number - 1), max_size=3))) if number else []
        for number in range(count)
    ]
    some = st.sets(st.integers(0, count - 1), max_size=4)
    return {
        "inputs": inputs, "young": draw(some), "recent": draw(some), "old": draw(some),
        "registered": draw(some), "verdicts": draw(some),
    }  # fmt: skip


@given(histories())
@hypothesis_settings(max_examples=60, deadline=None)
def test_what_is_reachable_is_never_removed(history: dict[str, Any]) -> None:
    """After deleting, exactly what roots lead to is there, whole: versions, recent runs, young results, their inputs."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(_settings(Path(folder)))
        results: list[StageResult] = []
        for number, inputs in enumerate(history["inputs"]):
            made = YOUNG if number in history["young"] else OLD
            results.append(world.result("features", f"k{number}", [results[i] for i in inputs], made))
        world.run("newest", [], NOW)  # the one run that stays for its number alone
        for index in history["recent"]:
            world.run(f"recent{index}", [results[index]], NOW - timedelta(days=2))
        for index in history["old"]:
            world.run(f"old{index}", [results[index]], OLD)
        versions: list[tuple[StageResult, StageResult | None]] = [
            (results[i], None) for i in history["registered"]
        ]
        versions += [(results[i], results[i]) for i in history["verdicts"]]
        collector = world.collector(versions, runs=1, days=30)
        collector.delete(collector.find().garbage)

        reachable = history["young"] | history["recent"] | history["registered"] | history["verdicts"]
        while more := {i for number in reachable for i in history["inputs"][number]} - reachable:
            reachable = reachable | more
        assert world.keys() == {f"features/k{number}" for number in reachable}
        for number in reachable:
            assert (Path(world.store.path(results[number].path)) / "data").read_text() == "ten bytes!"
