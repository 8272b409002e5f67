"""validate_model on real trained and registered models: verdicts, the report, and where they are said."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from jobs.validate_model.stage import run
from penstock.errors import StoreError
from penstock.registry import CHAMPION, REFUSED_BECAUSE, VERDICT, VERDICT_PATH
from penstock.results import GateResult, StageResult
from penstock.spec.gates import Gates
from penstock.spec.metrics import METRICS
from penstock.work import Item
from tests.jobs.registering import TASKS, Project

pytestmark = pytest.mark.spark

METRIC = {"flights": "roc_auc", "delay": "rmse", "kinds": "log_loss"}


def item_of(
    project: Project,
    pipeline: str,
    registered: StageResult,
    champion: StageResult | None = None,
    gates: dict[str, Any] | None = None,
    **spec: Any,
) -> Item:
    """What validate_model is asked for a registered model, against a champion or none."""
    inputs = {"train": registered.inputs["train"], "register": registered.as_input()}
    if champion is not None:
        inputs |= {"champion": champion.as_input(), "champion_train": champion.inputs["train"]}
    task = TASKS[pipeline]
    given = {
        "gates": Gates.model_validate(gates or {}).model_dump(mode="json"),
        "slices": ["origin"],
        "metric": METRIC[pipeline],
        "better": METRICS[task][METRIC[pipeline]],  # type: ignore[index]
        "task": task,
        "label": "label",
        "id": "id",
        "time": "time",
        "window_end": registered.spec["window_end"],
    }
    return project.driver("validate_model", pipeline).item({**given, **spec}, inputs=inputs)


def judge(project: Project, pipeline: str, registered: StageResult, *args: Any, **kwargs: Any) -> StageResult:
    """Judge in this process and commit the verdict."""
    return project.commit(
        "validate_model", pipeline, item_of(project, pipeline, registered, *args, **kwargs), run
    )


def by_name(result: StageResult) -> dict[str, GateResult]:
    return {gate.name: gate for gate in result.gates}


class _Page(HTMLParser):
    """Which elements a page has, what it loads from elsewhere, and whether each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [
            str(given[name])
            for name in ("src", "href", "xlink:href")
            if name in given and not str(given[name]).startswith(("#", "data:"))
        ]
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag not in ("meta", "link", "br", "path", "use", "stop"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def read(project: Project, result: StageResult) -> tuple[str, _Page]:
    text = project.path(result, "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    return text, page


@pytest.mark.parametrize("pipeline", ["flights", "delay", "kinds"])
def test_the_first_model_of_each_task_is_promoted(project: Project, pipeline: str) -> None:
    """Without a champion: thresholds, parity and fit decide; every gate is in the result, and the report stands alone."""
    result = judge(project, pipeline, project.register(pipeline, "good"))
    assert [gate.name for gate in result.gates] == ["holdout", "champion", "slices", "parity", "fit"]
    assert [gate for gate in result.gates if not gate.passed] == []
    assert (result.state, result.summary["verdict"], result.summary["champion"]) == ("ran", "promote", None)
    assert result.summary["metrics"] == pytest.approx(project.trained(pipeline, "good").summary["metrics"])
    text, page = read(project, result)
    assert page.loads == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert text.count("<svg") == {"flights": 6, "delay": 6, "kinds": 4}[pipeline]
    assert "✓ Promote" in text
    for gate in result.gates:
        assert f'id="gate-{gate.name}"' in text


def test_a_classifier_without_probabilities_is_judged_by_its_raw_score(project: Project) -> None:
    """The areas under the curves, accuracy and F1 are told, parity holds the raw score; there is no calibration."""
    margin, good = project.register("flights", "margin"), project.register("flights", "good")
    result = judge(project, "flights", margin)
    assert [gate for gate in result.gates if not gate.passed] == []
    known = {name: value for name, value in result.summary["metrics"].items() if value is not None}
    assert known == pytest.approx(project.trained("flights", "margin").summary["metrics"])
    assert known.keys() == {"roc_auc", "pr_auc", "accuracy", "f1"}
    text, _ = read(project, result)
    assert "raw score of label 1" in text
    assert "Calibration" not in text
    beside = judge(project, "flights", good, margin)
    assert "gain" in by_name(beside)["champion"].observed
    assert "Calibration" in read(project, beside)[0]


def test_a_champion_that_the_metric_cannot_tell_is_not_compared(project: Project) -> None:
    """A champion without probabilities, and log loss: the gate says what to judge by until it is replaced."""
    margin, good = project.register("flights", "margin"), project.register("flights", "good")
    gate = by_name(judge(project, "flights", good, margin, metric="log_loss", better="minimize"))["champion"]
    assert not gate.passed
    assert "no scores that log_loss can be told by" in gate.why
    assert gate.next_step.startswith("judge by one of roc_auc, pr_auc, accuracy, f1 until")


def test_a_worse_model_is_refused_and_the_run_ends_well(project: Project) -> None:
    """Champion and slices refuse it with what was seen; the reason is on the version, the run and the report."""
    champion = project.register("flights", "good")
    weak = project.register("flights", "weak")
    result = judge(project, "flights", weak, champion)
    gates = by_name(result)
    assert result.state == "refused"
    assert {name for name, gate in gates.items() if not gate.passed} == {"champion", "slices"}
    assert "of version 1" in gates["champion"].observed
    assert (result.summary["verdict"], result.summary["champion"]) == ("refuse", "1")
    version = project.version("flights", "weak")
    assert version.tags[VERDICT] == "refuse"
    assert version.tags[REFUSED_BECAUSE] == result.summary["reason"]
    assert version.tags[VERDICT_PATH] == result.path
    client = project.registry.client
    assert version.run_id is not None
    assert client.get_run(version.run_id).data.tags[VERDICT] == "refuse"
    assert [file.path for file in client.list_artifacts(version.run_id)] == ["report.html"]
    text, _ = read(project, result)
    assert "✕ Refused" in text
    assert "The champion and slices gates refuse it. Version 1 goes on serving." in text


def test_a_better_model_is_promoted_and_loses_an_older_refusal(project: Project) -> None:
    """Judged again against another champion, the verdict on the version is the new one."""
    weak = project.register("flights", "weak")
    good = project.register("flights", "good")
    judge(project, "flights", good, weak, {"champion": {"max_loss": 0}, "fit": {"size_mb": 1e-6}})
    assert REFUSED_BECAUSE in project.version("flights", "good").tags
    result = judge(project, "flights", good, weak)
    assert result.state == "ran"
    tags = project.version("flights", "good").tags
    assert tags[VERDICT] == "promote"
    assert REFUSED_BECAUSE not in tags
    assert "shows a gain" in by_name(result)["champion"].why


def test_a_model_is_never_refused_for_being_the_champion(project: Project) -> None:
    """Against itself there is nothing to lose, with no loss allowed at all."""
    good = project.register("flights", "good")
    result = judge(project, "flights", good, good, {"champion": {"max_loss": 0}, "slices": {"max_loss": 0}})
    assert result.summary["verdict"] == "promote"


def test_an_older_window_never_promotes(project: Project) -> None:
    """A run made again over old data registers and is refused, however good it is."""
    weak = project.register("flights", "weak")
    old = project.register("flights", "good", window_end="2013-05-03T00:00:00+00:00")
    result = judge(project, "flights", old, weak)
    assert [gate.name for gate in result.gates if not gate.passed] == ["champion"]
    assert "older window" in result.summary["reason"]


def test_a_threshold_that_does_not_hold_refuses_the_first_model(project: Project) -> None:
    """The spec's thresholds judge the first model too."""
    good = project.register("delay", "good")
    result = judge(project, "delay", good, gates={"holdout": {"rmse": "<= 1"}})
    assert [gate.name for gate in result.gates if not gate.passed] == ["holdout"]
    text, _ = read(project, result)
    assert "Nothing serves yet." in text


def test_gates_that_are_off_are_shown_as_off(project: Project) -> None:
    """Switched off they pass, and the result and the report say so."""
    good = project.register("flights", "good")
    off = dict.fromkeys(["holdout", "champion", "slices", "parity", "fit"], False)
    result = judge(project, "flights", good, gates=off)
    assert [gate.off for gate in result.gates] == [True] * 5
    text, _ = read(project, result)
    assert text.count('badge off">off') == 5


@pytest.mark.parametrize(("name", "output"), [("good", "probability_1"), ("margin", "rawPrediction")])
def test_a_package_that_differs_from_spark_is_refused(project: Project, name: str, output: str) -> None:
    """Parity is looked at on the holdout's rows: an answer of Spark's that the package does not give refuses.

    Of a model without probabilities the raw score is all that there is to compare beside the class.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    registered = project.register("flights", name)
    path = project.path(registered.inputs["train"], "holdout.parquet")
    table = pq.read_table(path)
    values = table[f"_{output}"].to_numpy().copy()
    values[17] += 1e-5
    place = table.column_names.index(f"_{output}")
    pq.write_table(table.set_column(place, f"_{output}", pa.array(values)), path)
    gate = by_name(judge(project, "flights", registered))["parity"]
    assert not gate.passed
    assert f"{output} of row '{table['id'][17]}'" in gate.why


def test_a_holdout_of_one_class_is_refused_with_a_report(project: Project) -> None:
    """AUC cannot be told: no error, a refusal that says so, and a report with dashes and without curves."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = project.register("flights", "good")
    path = project.path(good.inputs["train"], "holdout.parquet")
    table = pq.read_table(path)
    zeros = pa.array([0.0] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("label"), "label", zeros), path)
    result = judge(project, "flights", good, good)
    assert {gate.name for gate in result.gates if not gate.passed} == {"holdout", "champion"}
    assert result.summary["metrics"]["roc_auc"] is None
    text, _ = read(project, result)
    assert "cannot be told" in text
    assert "ROC curve" not in text


def test_what_the_data_says_is_text_in_the_report(project: Project) -> None:
    """A category that looks like markup or mathematics is shown as it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = project.register("flights", "good")
    path = project.path(good.inputs["train"], "holdout.parquet")
    table = pq.read_table(path)
    names = pa.array(
        ["<script>alert(1)</script>$x_$" if name == "EWR" else name for name in table["origin"].to_pylist()]
    )
    pq.write_table(table.set_column(table.column_names.index("origin"), "origin", names), path)
    result = judge(project, "flights", good, gates={"parity": False})
    text, _ = read(project, result)
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;$x_$" in text


def test_judged_again_the_verdict_is_the_same(project: Project) -> None:
    """The draws are seeded and what this machine measures is left out: the digest of a verdict is its content."""
    champion, weak = project.register("flights", "good"), project.register("flights", "weak")
    item = item_of(project, "flights", weak, champion)
    driver = project.driver("validate_model", "flights")
    digests = {driver.here(run, item, project.folder / f"scratch-{number}")[0].digest for number in range(2)}
    assert len(digests) == 1


def test_the_job_s_process_says_each_gate(project: Project) -> None:
    """As the operator starts it: exit 0 also when refused, each gate on a line of the log, then the verdict."""
    champion, weak = project.register("flights", "good"), project.register("flights", "weak")
    ran = project.driver("validate_model", "flights").process(
        item_of(project, "flights", weak, champion), project.folder
    )
    assert (ran.status, ran.outcome.state) == (0, "done")
    assert ran.result is not None
    assert ran.result.state == "refused"
    said = re.findall(r"^gate (\w+): (passed|refused|off)\.", ran.said, re.MULTILINE)
    assert said == [(gate.name, "passed" if gate.passed else "refused") for gate in ran.result.gates]
    assert "verdict on flights version 2: refuse" in ran.said


def test_an_input_that_is_gone_is_named(project: Project) -> None:
    """What `gc` removed is told by stage and key, with what to do."""
    good = project.register("flights", "good")
    item = item_of(project, "flights", good)
    project.store.remove(f"flights/register/{good.key}")
    with pytest.raises(StoreError, match="no register of key"):
        project.commit("validate_model", "flights", item, run)


def test_the_alias_is_not_touched(project: Project) -> None:
    """Judging promotes nobody: only deploy moves the champion."""
    good = project.register("flights", "good")
    judge(project, "flights", good)
    assert project.registry.by_alias("flights", CHAMPION) is None
