"""The plot of bench.serving: requests a second of each server, by records and clients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot

from bench.serving.load import Seen


def write(file: Path, measured: Mapping[str, Mapping[tuple[int, int], Seen]]) -> None:
    """A panel for each number of records and clients, with a bar a server, on a logarithmic scale."""
    names = list(measured)[::-1]
    kinds = list(next(iter(measured.values())))
    figure, panels = pyplot.subplots(
        1, len(kinds), figsize=(3.2 * len(kinds) + 2, 0.4 * len(names) + 1.4), sharey=True
    )
    for (rows, clients), panel in zip(kinds, panels, strict=True):
        rates = [measured[name][rows, clients].rate for name in names]
        bars = panel.barh(
            names, rates, color=["#c2410c" if name == "Penstock" else "#94a3b8" for name in names]
        )
        panel.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
        panel.set(
            xscale="log", title=f"{rows} record{'s' * (rows > 1)}, {clients} client{'s' * (clients > 1)}"
        )
        panel.set_xlim(min(rates) / 2, max(rates) * 4)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("requests a second (logarithmic)", fontsize=9)
    figure.tight_layout()
    figure.savefig(file)
