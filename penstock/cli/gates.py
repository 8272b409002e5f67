"""Gates' verdicts as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from penstock.cli.answers import GateAnswer


def verdict(gate: GateAnswer) -> str:
    """A gate's verdict in its colour, as rich markup."""
    if gate.off:
        return "[dim]off[/]"
    return "[green]passed[/]" if gate.passed else "[bold yellow]refused[/]"


def table(gates: Sequence[GateAnswer]) -> Table:
    """One row a gate; the data gates, one a source and interval, share a row where they passed for the same reason."""
    table = Table(title="gates", title_justify="left")
    for column in ("gate", "verdict", "observed", "required"):
        table.add_column(column, overflow="fold")
    alike: dict[tuple[bool, str], list[GateAnswer]] = {}
    for gate in gates:
        if gate.name == "data" and gate.passed:
            alike.setdefault((gate.off, gate.observed if gate.off else ""), []).append(gate)
    for shared in alike.values():
        first, several = shared[0], len(shared) > 1
        observed = "each of them" if several and not first.off else first.observed
        name = f"data x{len(shared)}" if several else "data"
        table.add_row(name, verdict(first), escape(observed), escape(first.required))
    for gate in gates:
        if gate.name != "data" or not gate.passed:
            name = f"data {gate.stage}" if gate.name == "data" else gate.name
            table.add_row(name, verdict(gate), escape(gate.observed), escape(gate.required))
    return table
