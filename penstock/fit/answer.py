"""What `penstock fit` finds out: figures, and what follows from them and from prices."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from penstock.fit.costs import Cost, Crossover
from penstock.fit.figures import Figures


class Fit(BaseModel):
    """Figures of a package, what each target costs, and where that crosses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    figures: Figures
    costs: list[Cost]
    crossovers: list[Crossover]
