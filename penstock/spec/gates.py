"""The gates' settings: all on by default, each can be tuned or switched off (and then says so)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, NonNegativeFloat, PositiveFloat
from pydantic_core import CoreSchema, core_schema

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_THRESHOLD = re.compile(r"^\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*$")


class Threshold(str):
    """A bound such as `>= 0.65`; `holds(0.7)` compares."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls._parse, core_schema.str_schema())

    @classmethod
    def _parse(cls, text: str) -> Threshold:
        if not _THRESHOLD.match(text):
            raise ValueError("is no threshold; write for example '>= 0.65' (with >=, <=, > or <)")
        return cls(text)

    def holds(self, value: float) -> bool:
        """Whether `value` keeps the bound; NaN never does."""
        match = _THRESHOLD.match(self)
        assert match is not None
        return _COMPARE[match[1]](value, float(match[2]))


class _Gate(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChampionGate(_Gate):
    """Non-inferiority on the same rows: the paired `confidence` interval must exclude a loss over `max_loss`.

    `max_loss` is in units of the primary metric; None means one hundredth for metrics in [0, 1] and 2 % of the
    champion's own value for rmse and mae.
    """

    max_loss: NonNegativeFloat | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=200, le=20_000)] = 1000


class SliceGate(_Gate):
    """No group of at least `min_rows` rows may lose more than `max_loss` to the champion, interval included."""

    max_loss: NonNegativeFloat | None = None
    min_rows: Annotated[int, Field(ge=20)] = 300


class ParityGate(_Gate):
    """The bundle's answers are Spark's within `tolerance`, relative to max(1, |x|)."""

    tolerance: PositiveFloat = 1e-6


class FitGate(_Gate):
    """What the target can carry: package size and memory in MB (1e6 bytes), p99 in ms of the runtime's own time for one record,
    payload in kB. `penstock fit` has the same figures."""

    size_mb: PositiveFloat = 100
    memory_mb: PositiveFloat = 512
    latency_ms: PositiveFloat = 50
    payload_kb: PositiveFloat = 1000


Off = Literal[False]


class Gates(_Gate):
    """Gate settings of a pipeline; `False` switches a gate off."""

    data: bool = True
    holdout: dict[str, Threshold] | Off = {}
    champion: ChampionGate | Off = ChampionGate()
    slices: SliceGate | Off = SliceGate()
    parity: ParityGate | Off = ParityGate()
    fit: FitGate | Off = FitGate()
