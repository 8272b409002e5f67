"""Measures a registered package, holds the prices against it, and writes the page.

No stage of the chain: nothing is kept by key. The request has one item, whose spec holds `package` (a path in the store),
`version`, `calls` (a day), `prices` and the `table` they are from, `page` (the path of an HTML file, or None) and `result` (a file for what to say).
"""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

from jobs.fit import measure
from penstock import durable, settings, signatures
from penstock.errors import DeployError
from penstock.fit import costs, words
from penstock.fit.answer import Fit
from penstock.fit.prices import Prices
from penstock.store import Store
from penstock.work import Request
from penstock_function.package import PackageError


def fit(request: Request) -> None:
    """Measure what the request names.

    Raises:
        DeployError: the package does not prove itself, or nobody trusted signed it.
        PenstockError: its runtime is not there.
    """
    here = settings.load()
    (item,) = request.items
    spec = item.spec
    temporary = here.var / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fit-", dir=temporary) as scratch:
        folder = Store(here.store).fetch(spec["package"], Path(scratch))
        signatures.verify(folder)
        try:
            done = count()
            figures = measure.figures(
                folder, lambda what: print(f"[progress] fit {next(done)}/{measure.STEPS} {what}", flush=True)
            )
        except PackageError as error:
            raise DeployError(
                f"version {spec['version']} of {request.pipeline} cannot be measured: {error}",
                next_step="register it again: penstock run with --force register",
            ) from error
    prices = Prices.model_validate(spec["prices"])
    curves = costs.curves(prices, figures)
    found = Fit(
        figures=figures,
        costs=costs.costs(prices, curves, spec["calls"]),
        crossovers=costs.crossovers(prices, curves),
    )
    if spec["page"] is not None:
        from jobs.fit.page import Head, page

        head = Head(request.pipeline, spec["version"], spec["calls"], words.source(Path(spec["table"])))
        text = page(head, found, prices, curves)
        durable.write_atomic(Path(spec["page"]), text.encode(), mode=0o644)
    Path(spec["result"]).write_text(found.model_dump_json(), encoding="utf-8")
