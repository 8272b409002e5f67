"""The page of `penstock fit`: tables, and a plot of what calls cost on each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.validate_model.report import html
from jobs.validate_model.report.style import CHALLENGER, FAINT, axes, plain, svg
from penstock.fit import words
from penstock.fit.answer import Fit
from penstock.fit.costs import Line, Steps
from penstock.fit.prices import Prices

#: Told apart by who does not see red or green, too (Okabe and Ito's, https://jfly.uni-koeln.de/color/, the last one lighter).
_COLORS = (CHALLENGER, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8b94a5")
_LOW, _HIGH, _POINTS = 2.0, 8.0, 400  # calls a day, as powers of ten


@dataclass(frozen=True)
class Head:
    """Whose page it is, of how many calls a day, and where the prices are from."""

    pipeline: str
    version: str
    calls: int
    source: str


def page(head: Head, found: Fit, prices: Prices, curves: Mapping[str, Line | Steps]) -> str:
    """The page of what was found of a version."""
    content = {
        "pipeline": head.pipeline,
        "version": head.version,
        "calls": f"{head.calls:,}",
        "source": head.source,
        "currency": prices.currency,
        "utilisation": f"{prices.utilisation:.0%}",
        "figures": words.figures(found.figures),
        "columns": words.COSTS,
        "costs": [words.cost(cost) for cost in found.costs],
        "crossovers": [words.crossover(each) for each in found.crossovers],
        "plot": _plot(found, prices, curves, head.calls),
        "prices": {
            name: ", ".join(f"{word} = {value}" for word, value in price.model_dump().items())
            for name, price in prices.targets.items()
        },
    }
    return html.render("page.html.j2", content, beside=Path(__file__).parent)


def _plot(found: Fit, prices: Prices, curves: Mapping[str, Line | Steps], calls: int) -> str:
    """Cost of a day by calls a day, both by powers of ten; a dot where paying by the call stops being cheaper."""
    import numpy as np

    made = axes("Cost of a day by calls a day", width=9.2, height=5.2)
    made.set(
        xscale="log",
        yscale="log",
        xlabel="calls a day",
        ylabel=plain(prices.currency),
        xlim=(10**_LOW, 10**_HIGH),
    )
    numbers = np.logspace(_LOW, _HIGH, _POINTS).tolist()
    for place, (name, curve) in enumerate(curves.items()):
        style = "-" if isinstance(curve, Steps) else "--" if curve.fixed else "-."
        cost = [curve.a_day(number) for number in numbers]
        made.plot(numbers, cost, style, color=_COLORS[place % len(_COLORS)], label=plain(name))
    made.axvline(calls, color=FAINT, linestyle=":", linewidth=1.4)
    for each in found.crossovers:
        if each.above is not None and 10**_LOW < each.above < 10**_HIGH:
            cost_there = curves[each.per_call].a_day(each.above)
            made.plot(each.above, cost_there, "o", color="#1d2433", markersize=5)
            made.annotate(
                f"{each.above:,.0f}",
                (each.above, cost_there),
                xytext=(5, -11),
                textcoords="offset points",
                fontsize=8,
            )
    made.legend(loc="upper left")
    return svg(made)
