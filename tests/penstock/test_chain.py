"""The chain's steps: what is reused, what runs, and what each end leaves in the record.

The jobs here commit small results of their own; real jobs take the same steps in tests/e2e.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from penstock import Pipeline, files, keys
from penstock.chain import Chain
from penstock.errors import PenstockError, SpecError, Stale
from penstock.record import Entry, Record, RunOptions
from penstock.registry import ROLLOUT, ROLLOUT_BECAUSE
from penstock.results import GateResult, StageResult
from penstock.settings import Settings
from penstock.spec.function import Function
from penstock.spec.search import SearchSpace
from penstock.spec.sources import Files
from penstock.stages import CHAIN
from penstock.work import Outcome, Request

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def gate(name: str, passed: bool) -> GateResult:
    return GateResult(name=name, passed=passed, observed="o", required="r", why=f"because of {name}")


@dataclass
class Jobs:
    """Stands in for the processes: commits a result a key, and remembers what was started."""

    chain: Chain
    started: list[str] = field(default_factory=list)
    content: Callable[[str, str], str] = lambda stage, subject: f"{stage}{subject}"
    refuse: set[str] = field(default_factory=set)
    fail: dict[str, Outcome] = field(default_factory=dict)
    rows: int = 10

    def __call__(self, request: Request) -> Outcome:
        if request.stage in self.fail:
            return self.fail[request.stage]
        for item in request.items:
            self.started.append(f"{request.stage} {item.subject}".strip())
            refused = request.stage in self.refuse
            summary = {"version": "1", "revision": "v1-0", "rows": self.rows}
            self.chain.store.commit(
                StageResult(
                    pipeline=request.pipeline, stage=request.stage, subject=item.subject, key=item.key,
                    attempt="a1", digest=keys.digest(self.content(request.stage, item.subject)),
                    state="refused" if refused else "ran", summary=summary, inputs=item.inputs,
                    gates=[gate(request.stage, not refused)] if refused else [],
                    started="2026-01-01T00:00:00", seconds=0.1, salt=item.salt,
                    made_by={"run": request.run},
                )
            )  # fmt: skip
        return Outcome(state="done")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    root = tmp_path / "project"
    code = {root / path for stage in CHAIN for path in stage.code}
    files_ = {path for path in code if path.suffix}
    folders = code - files_ | {root / "dags/flights", root / "expectations/flights", root / "images/job"}
    for folder in folders | {file.parent for file in files_}:
        folder.mkdir(parents=True, exist_ok=True)
    for file in files_:
        file.write_text("")
    for stage in CHAIN:
        (root / stage.code[0] / "code.py").write_text(stage.name)
    (root / "images/job/requirements.txt").write_text("pyspark==4.1.4")
    (root / "dags/flights/model.py").write_text("")
    (root / "expectations/flights/rows.json").write_text("{}")
    for month in ("2013-01-01", "2013-02-01"):
        (root / "data" / month).mkdir(parents=True)
        (root / "data" / month / "rows.csv").write_text(month)
    settings = Settings(root, tmp_path / "var", f"file://{tmp_path / 'store'}", "sqlite:///none")
    spec = Pipeline(
        name="flights", problem="p", owner="o", task="binary", label="l", time="t", id="i", metric="roc_auc",
        sources=[files("rows", "data/{{ interval }}/*.csv", time="t")],
        schedule="@monthly", start="2013-01-01", end="2013-03-01",
    )  # fmt: skip
    made = Chain(settings, spec)
    made.registry = SimpleNamespace(champion=lambda name: None)  # type: ignore[assignment]
    return made


def run(chain: Chain, jobs: Jobs, name: str, **plan: Any) -> Record:
    from penstock.intervals import newest_complete

    planned = chain.plan(name, newest_complete(chain.pipeline, NOW), RunOptions(**plan))
    jobs.started.clear()
    for interval in planned.window:
        for stage in ("collect", "validate"):
            if chain.step(name, stage, jobs, interval).ends_run:
                return chain.record(name)
    for stage in ("features", "train", "register", "validate_model", "deploy"):
        if chain.step(name, stage, jobs).state == "failed":
            break
    return chain.record(name)


ALL = [
    "collect rows@2013-01-01", "validate rows@2013-01-01", "collect rows@2013-02-01", "validate rows@2013-02-01",
    "features", "train", "register", "validate_model", "deploy",
]  # fmt: skip


def test_a_first_run_does_every_stage(chain: Chain) -> None:
    """Each stage of each interval runs once, and the record says so."""
    jobs = Jobs(chain)
    record = run(chain, jobs, "one")
    assert jobs.started == ALL
    assert record.state == "succeeded"
    assert {entry.state for entry in record.entries} == {"ran"}


def test_a_second_run_starts_no_job_before_deploy(chain: Chain) -> None:
    """With nothing changed no process is started for any key that is there."""
    jobs = Jobs(chain)
    run(chain, jobs, "one")
    record = run(chain, jobs, "two")
    assert jobs.started == ["deploy"]  # its target is asked what serves: here nobody answers
    assert {entry.state for entry in record.entries if entry.stage != "deploy"} == {"reused"}


def test_same_content_read_again_stops_there(chain: Chain) -> None:
    """A touched file is collected again; as its content is the same, nothing after it runs (early cut-off)."""
    jobs = Jobs(chain)
    run(chain, jobs, "one")
    (chain.settings.root / "data/2013-02-01/rows.csv").write_text("2013-02-01 later")
    run(chain, jobs, "two")
    assert jobs.started == ["collect rows@2013-02-01", "deploy"]


def test_other_content_runs_what_rests_on_it(chain: Chain) -> None:
    """Late data changes the content digest, and only what rests on it runs again."""
    jobs = Jobs(chain)
    run(chain, jobs, "one")
    (chain.settings.root / "data/2013-02-01/rows.csv").write_text("2013-02-01 and a late row")
    jobs.content = lambda stage, subject: f"{stage}{subject} late"
    run(chain, jobs, "two")
    assert jobs.started == [name for name in ALL if "2013-01-01" not in name]


def test_changed_stage_code_runs_that_stage(chain: Chain) -> None:
    """The code of one stage makes new keys for it; stages whose inputs keep their content are reused."""
    jobs = Jobs(chain)
    run(chain, jobs, "one")
    (chain.settings.root / "jobs/features/code.py").write_text("changed")
    run(chain, jobs, "two")
    assert jobs.started == ["features", "deploy"]


def test_a_changed_step_makes_another_package(chain: Chain) -> None:
    """The key of register rests on what the function's steps hold, and on their order; nothing is trained again."""
    for name in ("clock", "band"):
        (chain.settings.steps / name).mkdir(parents=True)
        (chain.settings.steps / name / "step.py").write_text("code")
    jobs, registry = Jobs(chain), chain.registry

    def ran(name: str, *around: str) -> list[str]:
        spec = chain.pipeline.model_copy(update={"function": Function(steps=list(around))})
        jobs.chain = Chain(chain.settings, spec)
        jobs.chain.registry = registry
        run(jobs.chain, jobs, name)
        return jobs.started

    assert ran("one", "clock", "score", "band") == ALL
    assert ran("two", "clock", "score", "band") == ["deploy"]
    (chain.settings.steps / "band/step.py").write_text("changed")
    assert ran("three", "clock", "score", "band") == ["register", "deploy"]
    assert ran("four", "clock", "band", "score") == ["register", "deploy"]
    assert ran("five", "score") == ["register", "deploy"]
    assert ran("six", "score", "weather") == []
    assert "there is no step 'weather'" in chain.record("six").entries[0].why


def test_force_is_a_salt_in_the_record(chain: Chain) -> None:
    """A forced stage runs under a new key that the record keeps; the next run takes the old key again."""
    jobs = Jobs(chain)
    first = run(chain, jobs, "one")
    forced = run(chain, jobs, "two", force="train")
    assert "train" in jobs.started
    again = run(chain, jobs, "three")
    assert "train" not in jobs.started

    def key(record: Record) -> str:
        entry = record.entry("train")
        assert entry is not None
        return entry.items[0].key

    assert key(first) == key(again) != key(forced)
    assert chain.store.result("flights", "train", key(forced)).salt == "two"  # type: ignore[union-attr]


def test_refused_data_fails_the_run(chain: Chain) -> None:
    """Data that its gate refuses ends the run as failed; a second try says the same without a process."""
    jobs = Jobs(chain, refuse={"validate"})
    record = run(chain, jobs, "one")
    assert record.state == "failed"
    assert [entry.name for entry in record.entries] == ["collect@2013-01-01", "validate@2013-01-01"]
    assert "because of validate" in record.entries[-1].why
    run(chain, jobs, "two")
    assert jobs.started == []


def test_a_failed_job_is_done_again_from_there(chain: Chain) -> None:
    """After a failure the next try starts only what has no result yet."""
    jobs = Jobs(
        chain, fail={"train": Outcome(state="failed", kind="killed", message="killed", next_step="again")}
    )
    record = run(chain, jobs, "one")
    assert record.state == "failed"
    entry = record.entry("train")
    assert entry is not None
    assert entry.failure is not None
    assert entry.failure.next_step == "again"
    jobs.fail.clear()
    assert run(chain, jobs, "one").state == "succeeded"
    assert jobs.started == ["train", "register", "validate_model", "deploy"]


def test_an_empty_interval_skips_the_run(chain: Chain) -> None:
    """No rows in the newest interval ends the run as skipped, naming the source."""
    jobs = Jobs(chain, rows=0)
    planned = chain.plan("one", _newest(chain))
    entry = chain.step("one", "collect", jobs, planned.window[-1])
    assert entry.state == "skipped"
    assert "rows@2013-02-01" in entry.why
    assert chain.record("one").state == "skipped"


def test_an_empty_older_interval_does_not(chain: Chain) -> None:
    """An older interval of the window may be empty: the run goes on with the others."""
    jobs = Jobs(chain, rows=0)
    planned = chain.plan("one", _newest(chain))
    assert chain.step("one", "collect", jobs, planned.window[0]).state == "ran"


def test_a_refused_model_ends_well(chain: Chain) -> None:
    """A refusal skips deploy, with the reason; the run is `refused`, not failed."""
    jobs = Jobs(chain, refuse={"validate_model"})
    record = run(chain, jobs, "one")
    assert record.state == "refused"
    deploy = record.entry("deploy")
    assert deploy is not None
    assert deploy.state == "skipped"
    assert "because of validate_model" in deploy.why
    assert "deploy" not in jobs.started


def test_what_was_worse_in_its_rollout_is_not_rolled_out_again(chain: Chain) -> None:
    """A refused deploy is a refused run; the next one refuses the version by its tags, unless it is forced to deploy."""
    rolling = _with(chain, function=Function.model_validate({"rollout": {}}))
    tags: dict[str, str] = {}
    rolling.registry = SimpleNamespace(  # type: ignore[assignment]
        champion=lambda name: None, version=lambda name, version: SimpleNamespace(tags=tags)
    )
    jobs = Jobs(rolling, refuse={"deploy"})
    assert run(rolling, jobs, "one").state == "refused"
    tags |= {ROLLOUT: "worse", ROLLOUT_BECAUSE: "errors"}
    record = run(rolling, jobs, "two")
    assert (record.state, "deploy" in jobs.started) == ("refused", False)
    entry = record.entry("deploy")
    assert entry is not None
    assert entry.why == "gate canary: the rollout of version 1 ended as worse: errors"
    assert [(gate.name, gate.passed) for gate in entry.gates] == [("canary", False)]
    run(rolling, jobs, "three", force="deploy")
    assert "deploy" in jobs.started


def test_a_stale_verdict_is_made_again(chain: Chain) -> None:
    """Where another run promoted in between, the model is judged against the new champion before it deploys."""
    jobs = Jobs(chain)
    run(chain, jobs, "one")
    other = chain.record("one").entry("register")
    assert other is not None
    answers = [Outcome(state="failed", kind=Stale.kind, message="stale"), Outcome(state="done")]

    class Promoted(Jobs):
        def __call__(self, request: Request) -> Outcome:
            if request.stage == "deploy" and (answer := answers.pop(0)).state == "failed":
                champion = SimpleNamespace(version="9", register_path=other.items[0].path, verdict_path=None)
                chain.registry = SimpleNamespace(champion=lambda name: champion)  # type: ignore[assignment]
                return answer
            return super().__call__(request)

    promoted = Promoted(chain)
    record = run(chain, promoted, "two", force="register")
    # The first verdict is reused, as its inputs have the same content; the second one is new.
    assert promoted.started == ["register", "validate_model", "deploy"]
    assert record.state == "succeeded"
    judged = record.entry("validate_model")
    assert judged is not None
    result = chain.store.result("flights", "validate_model", judged.items[0].key)
    assert result is not None
    assert "champion" in result.inputs


def crown(chain: Chain, record: Record) -> None:
    """Make the version of a run the champion, as its deploy would have."""
    registered, judged = record.entry("register"), record.entry("validate_model")
    assert registered is not None
    assert judged is not None
    champion = SimpleNamespace(
        version="1", register_path=registered.items[0].path, verdict_path=judged.items[0].path
    )
    chain.registry = SimpleNamespace(champion=lambda name: champion)  # type: ignore[assignment]


def test_the_verdict_on_the_champion_stands(chain: Chain) -> None:
    """A run that ends at the champion itself is not judged against itself: its own verdict is reused."""
    jobs = Jobs(chain)
    first = run(chain, jobs, "one")
    crown(chain, first)
    judged = run(chain, jobs, "two").entry("validate_model")
    assert judged is not None
    assert judged.state == "reused"
    assert judged.items == [
        item.model_copy(update={"state": "reused"})
        for item in first.entry("validate_model").items  # type: ignore[union-attr]
    ]
    assert jobs.started == ["deploy"]


@pytest.mark.parametrize("change", ["package", "gates"])
def test_the_champion_is_judged_again_where_its_package_or_gates_changed(chain: Chain, change: str) -> None:
    """Its verdict was on another package, or by other thresholds: it does not stand for what would serve now."""
    jobs = Jobs(chain)
    crown(chain, run(chain, jobs, "one"))
    if change == "package":
        (chain.settings.root / "jobs/bundle/code.py").write_text("a converter mended")
        jobs.content = lambda stage, subject: f"{stage}{subject}{'mended' if stage == 'register' else ''}"
        expected = ["train", "register", "validate_model", "deploy"]
    else:
        gates = chain.pipeline.gates.model_copy(update={"holdout": {"roc_auc": ">= 0.9"}})
        pipeline = chain.pipeline.model_copy(update={"gates": gates})
        registry, chain = chain.registry, Chain(chain.settings, pipeline)
        jobs.chain, chain.registry = chain, registry
        expected = ["validate_model", "deploy"]
    run(chain, jobs, "two")
    assert jobs.started == expected


def test_the_same_run_planned_again_keeps_its_plan(chain: Chain) -> None:
    """A retried plan does not move the run to another interval."""
    first = chain.plan("one", _newest(chain), RunOptions(note="first"))
    assert chain.plan("one", _newest(chain), RunOptions(note="second")) == first


def _newest(chain: Chain) -> Any:
    from penstock.intervals import newest_complete

    return newest_complete(chain.pipeline, NOW)


def test_records_survive_json(chain: Chain) -> None:
    """What was written is what is read."""
    record = run(chain, Jobs(chain), "scheduled__2013-02-01T00:00:00+00:00")
    assert [Entry.model_validate(e.model_dump(mode="json")) for e in record.entries] == record.entries
    assert chain.runs.all("flights")[0].run == record.run


def test_a_source_without_a_suite_shows_in_the_run(chain: Chain) -> None:
    """Nothing is asked of it, so its data gate passes; the run says so, beside the gates of those that have a suite."""
    sources = [*chain.pipeline.sources, Files(name="extra", uri="data/{{ interval }}/*.csv")]
    chain = _with(chain, sources=sources)
    jobs = Jobs(chain)
    record = run(chain, jobs, "one")
    assert record.state == "succeeded"
    assert [(gate.name, gate.off, gate.passed, gate.why) for gate in record.gates] == [
        ("data", True, True, "there is no suite for source extra: whatever it holds passes")
    ]
    validated = record.entry("validate@2013-02-01")
    assert validated is not None
    assert validated.state == "ran"
    assert validated.gates[0].next_step == "write expectations/flights/extra.json"


def test_without_any_suite_every_source_is_named(chain: Chain) -> None:
    """A pipeline without suites goes on, and each interval's gate says that nothing was asked."""
    (chain.settings.expectations / "flights" / "rows.json").unlink()
    record = run(chain, Jobs(chain), "one")
    assert record.state == "succeeded"
    validated = [entry for entry in record.entries if entry.stage == "validate"]
    assert [entry.state for entry in validated] == ["skipped", "skipped"]
    assert all(
        gate.off and "no suite for source rows" in gate.why for entry in validated for gate in entry.gates
    )
    assert all(entry.gates for entry in validated)


def test_misplaced_suites_are_refused_before_the_run(chain: Chain) -> None:
    """A named folder that is not there, or a suite that no source has the name of: no run's record is opened."""
    with pytest.raises(SpecError, match=r"expectations/nope: .* not there; folders here: flights"):
        run(_with(chain, expectations="nope"), Jobs(chain), "one")
    (chain.settings.expectations / "flights" / "row.json").write_text("{}")
    with pytest.raises(SpecError, match=r"expectations/flights/row.json: no source is called 'row'"):
        run(chain, Jobs(chain), "one")
    assert chain.runs.all("flights") == []


def test_a_grid_takes_no_number_of_trials(chain: Chain) -> None:
    """A grid tries every combination: a number that changed nothing would be a silent no."""
    grid = _with(chain, search=SearchSpace(method="grid", depth=[2, 3]))
    with pytest.raises(PenstockError, match=r"5 trials were asked for, .* is a grid"):
        grid.plan("one", _newest(grid), RunOptions(trials=5))
    assert grid.plan("one", _newest(grid)).trials is None
    assert chain.plan("two", _newest(chain), RunOptions(trials=5)).trials == 5


def _with(chain: Chain, **fields: Any) -> Chain:
    """The chain of the same project with other fields of the spec."""
    made = Chain(chain.settings, chain.pipeline.model_copy(update=fields))
    made.registry = chain.registry
    return made
