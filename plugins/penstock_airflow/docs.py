"""The DAG's page, from the spec: the problem, who owns it, its gates, and what to do when it fails."""

from __future__ import annotations

from penstock.spec.pipeline import Pipeline


def doc_md(pipeline: Pipeline) -> str:
    """Markdown for the DAG's page."""
    end = f" until {pipeline.end:%Y-%m-%d}" if pipeline.end else ""
    schedule = f"`{pipeline.schedule}`" if pipeline.schedule else "by hand"
    rows = "\n".join(f"| {name} | {says} |" for name, says in _gates(pipeline))
    return f"""## {pipeline.problem}

**Owner:** {pipeline.owner} · **Task:** {pipeline.task}, label `{pipeline.label}` · **Judged by:** `{pipeline.metric}`
({pipeline.better}) on the newest {pipeline.holdout} · **Schedule:** {schedule} from {pipeline.start:%Y-%m-%d}{end} ·
**Window:** {pipeline.window} · **Sources:** {", ".join(source.name for source in pipeline.sources)} ·
**Function:** `{pipeline.function_name}` on {pipeline.function.target}

| gate | lets through |
| --- | --- |
{rows}

### When it fails
1. Open the red task's log: its last line says what was found, what was expected and what to do.
2. `penstock explain RUN` says why each stage ran or was reused, and why each gate said what it said.
3. Clear the task, or run again: what was done is reused, nothing is registered or deployed twice.
4. A refused model is no failure: the run is green, `deploy` is skipped, and the champion goes on serving.
5. To go back to the version before: `penstock rollback {pipeline.name}`.
"""


def _gates(pipeline: Pipeline) -> list[tuple[str, str]]:
    gates = pipeline.gates
    thresholds = ", ".join(f"{m} {t}" for m, t in (gates.holdout or {}).items()) or "no threshold set"
    return [
        ("data", f"the suites of `expectations/{pipeline.suites}/` hold" if gates.data else "**off**"),
        ("holdout", "**off**" if gates.holdout is False else thresholds),
        ("champion", "no loss beyond `max_loss`, paired interval included" if gates.champion else "**off**"),
        (
            "slices",
            f"no group of {', '.join(pipeline.slices) or '(none)'} loses" if gates.slices else "**off**",
        ),
        ("parity", f"Spark's answers within {gates.parity.tolerance:g}" if gates.parity else "**off**"),
        (
            "fit",
            f"at most {gates.fit.memory_mb:g} MB memory, p99 {gates.fit.latency_ms:g} ms"
            if gates.fit
            else "**off**",
        ),
    ]
