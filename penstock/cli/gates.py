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
    """One row a gate; the data gates that passed, one a source and interval, share a row."""
    table = Table(title="gates", title_justify="left")
    for column in ("gate", "verdict", "observed", "required"):
        table.add_column(column, overflow="fold")
    shared = [gate for gate in gates if gate.name == "data" and gate.passed and not gate.off]
    if shared:
        each = "each of them" if len(shared) > 1 else shared[0].observed
        table.add_row(
            "data" if len(shared) == 1 else f"data x{len(shared)}",
            verdict(shared[0]),
            each,
            shared[0].required,
        )
    for gate in gates:
        if gate not in shared:
            name = f"data {gate.stage}" if gate.name == "data" else gate.name
            table.add_row(name, verdict(gate), escape(gate.observed), escape(gate.required))
    return table
