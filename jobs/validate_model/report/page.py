"""Fills the report's template from a judgement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.validate_model.bootstrap import Interval
from jobs.validate_model.comparison import Line
from jobs.validate_model.gates.losses import allowed
from jobs.validate_model.judgement import Judgement
from jobs.validate_model.report import html

_TITLES = {
    "holdout": "Good enough by itself",
    "champion": "Not worse than what serves",
    "slices": "No group gets worse",
    "parity": "The function answers as Spark does",
    "fit": "Fits where it runs",
}


def write(path: Path, judgement: Judgement) -> None:
    """Write the report on a candidate as one HTML file."""
    text = html.render("report.html.j2", _content(judgement), number=number, interval=interval, gain=gain)
    path.write_text(text, encoding="utf-8")


def number(value: float) -> str:
    """Four decimals (four digits from 1 on), or a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value + 0.0:.4f}" if abs(value) < 1 else f"{value:.4g}"


def interval(value: Interval) -> str:
    return f"{number(value.low)} to {number(value.high)}" if value.known else "cannot be told"


def gain(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value + 0.0:+.4f}" if abs(value) < 1 else f"{value:+.4g}"


def _content(judgement: Judgement) -> dict[str, Any]:
    candidate, rival, rows = judgement.candidate, judgement.rival, judgement.holdout
    return {
        "pipeline": judgement.pipeline,
        "version": candidate.version,
        "promote": judgement.promote,
        "headline": _headline(judgement),
        "gates": [{"title": _TITLES[gate.name], **gate.model_dump()} for gate in judgement.gates],
        "metric": judgement.metric,
        "lines": [(line, _better(line)) for line in judgement.comparison.lines.values()],
        "champion": rival.version if rival and judgement.champion is not None else None,
        "compared": judgement.comparison.rows,
        "confidence": f"{judgement.confidence:.4g}",
        "pictures": _pictures(judgement),
        "slices": _slices(judgement),
        "small": judgement.comparison.small,
        "importance": _importance(judgement),
        "facts": {
            "Task": f"{judgement.task}, judged by {judgement.metric}",
            "Training window ends": f"{candidate.window_end:%Y-%m-%d %H:%M} UTC",
            "Holdout": f"{len(rows):,} rows, {_day(rows.times.min())} to {_day(rows.times.max())}",
            "Training rows": _rows(candidate.facts),
            **_label_facts(judgement),
            "Rows without an answer": f"{int((~judgement.challenger.answered).sum()):,}",
            "Parameters": ", ".join(f"{k} = {v}" for k, v in candidate.facts["params"].items()) or "none",
            "Trials of the search": candidate.facts["trials"],
            "Stages": " → ".join(candidate.facts["stages"]),
            "Champion": _champion(judgement),
        },
        "keys": {
            "Training key": candidate.train.key,
            "Data key": candidate.train.inputs["features"].path.split("/")[2],
            "Package key": candidate.register.key,
            "MLflow run": candidate.run_id,
            **judgement.scorer.package.environment,
        },
    }


def _headline(judgement: Judgement) -> str:
    if judgement.promote:
        rival = judgement.rival
        role = "as this pipeline's first model" if rival is None else f"in place of version {rival.version}"
        return f"Every gate lets it pass: it may serve {role}."
    failed = [gate.name for gate in judgement.gates if not gate.passed]
    names = " and ".join(", ".join(failed).rsplit(", ", 1))
    serving = (
        f" Version {judgement.rival.version} goes on serving." if judgement.rival else " Nothing serves yet."
    )
    return f"The {names} {'gate refuses' if len(failed) == 1 else 'gates refuse'} it.{serving}"


def _better(line: Line) -> str:
    """How the row of a metric is marked: good or bad only where the interval of the gain says so."""
    if line.gain is None or not line.gain.known or line.gain.low <= 0 <= line.gain.high:
        return ""
    return "good" if line.gain.low > 0 else "bad"


def _pictures(judgement: Judgement) -> list[str]:
    from jobs.validate_model.report import confusion, curves, residuals

    y = judgement.challenger.y[judgement.challenger.answered]
    if not len(y) or (judgement.task == "binary" and y.min() == y.max()):
        return []  # a curve needs rows of both classes
    models = curves.shown(judgement.challenger, judgement.champion)
    if judgement.task == "regression":
        return residuals.draw(models)
    if judgement.task == "multiclass":
        return confusion.draw(models, judgement.scorer.package.classes)
    return curves.draw(models)


def _slices(judgement: Judgement) -> str | None:
    from jobs.validate_model.report import forest

    groups = judgement.comparison.groups
    if not groups:
        return None
    if judgement.champion is None:
        return forest.values(groups, judgement.metric)
    champion = judgement.comparison.lines[judgement.metric].champion
    assert champion is not None
    return forest.gains(
        groups, judgement.metric, allowed(judgement.metric, champion.point, judgement.slice_loss)
    )


def _importance(judgement: Judgement) -> str | None:
    from jobs.validate_model.report import forest, importance

    if not judgement.comparison.rows:
        return None
    losses = importance.losses(judgement.scorer, judgement.holdout, judgement.metric)
    if not all(math.isfinite(value) for values in losses.values() for value in values):
        return None
    return forest.importance(losses, judgement.metric)


def _rows(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in facts["rows"].items())


def _label_facts(judgement: Judgement) -> dict[str, str]:
    y = judgement.challenger.y
    if judgement.task == "regression":
        return {"Label in the holdout": f"mean {number(y.mean())}, standard deviation {number(y.std())}"}
    shares = [
        (name, float((y == index).mean())) for index, name in enumerate(judgement.scorer.package.classes)
    ]
    return {"Classes in the holdout": ", ".join(f"{name}: {share:.1%}" for name, share in shares)}


def _champion(judgement: Judgement) -> str:
    rival = judgement.rival
    if rival is None:
        return "none: nothing serves yet"
    return f"version {rival.version}, training window to {rival.window_end:%Y-%m-%d %H:%M} UTC, key {rival.train.key}"


def _day(time: Any) -> str:
    return str(time)[:10]
