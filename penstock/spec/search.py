"""The space of hyperparameters: a list is a choice, a pair of numbers a range."""

from __future__ import annotations

import itertools
import random
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Param = bool | int | float | str


class Range(BaseModel):
    """A uniform range; whole numbers if both ends are. Its own type, as JSON knows no pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float


Axis = Range | list[Param] | Param


class SearchSpace(BaseModel):
    """How training looks for parameters; every extra field is a parameter of `estimator(params)`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Axis]

    method: Literal["random", "grid"] = "random"
    trials: PositiveInt = 8
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _pairs(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        bad = [name for name, axis in fields.items() if isinstance(axis, tuple) and len(axis) != 2]
        if bad:
            raise ValueError(f"{', '.join(bad)}: a range is a pair (low, high)")
        return {
            name: {"low": axis[0], "high": axis[1]} if isinstance(axis, tuple) else axis
            for name, axis in fields.items()
        }

    @model_validator(mode="after")
    def _sound(self) -> SearchSpace:
        faults = []
        for name, axis in self.space.items():
            if axis == []:
                faults.append(f"{name}: an empty list of choices")
            if isinstance(axis, Range) and self.method == "grid":
                faults.append(f"{name}: a range has no grid; give a list of choices")
            if isinstance(axis, Range) and not axis.low < axis.high:
                faults.append(f"{name}: the range ({axis.low}, {axis.high}) must rise")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def space(self) -> dict[str, Axis]:
        return dict(self.__pydantic_extra__ or {})

    def points(self) -> list[dict[str, Param]]:
        """The parameter sets to try, the same for the same seed; never twice the same one."""
        if self.method == "grid":
            axes = [axis if isinstance(axis, list) else [axis] for axis in self.space.values()]
            return [dict(zip(self.space, combo, strict=True)) for combo in itertools.product(*axes)]  # type: ignore[arg-type]
        draw = random.Random(self.seed)  # noqa: S311 - reproducible search, not security
        points: list[dict[str, Param]] = []
        for _ in range(self.trials * 20):
            point = {name: _draw(draw, axis) for name, axis in self.space.items()}
            if point not in points:
                points.append(point)
            if len(points) == self.trials:
                break
        return points


def _draw(draw: random.Random, axis: Axis) -> Param:
    if isinstance(axis, list):
        return draw.choice(axis)
    if isinstance(axis, Range):
        if isinstance(axis.low, int) and isinstance(axis.high, int):
            return draw.randint(axis.low, axis.high)
        return draw.uniform(axis.low, axis.high)
    return axis


def Search(
    *, method: str = "random", trials: int = 8, parallel: int = 2, seed: int = 0, **space: Any
) -> dict[str, Any]:
    """Declare a search: `Search(trials=8, maxDepth=[4, 6], stepSize=(0.05, 0.3))`.

    A list is a choice, a pair `(low, high)` a uniform range, anything else a constant. `method="grid"` tries
    every combination of choices instead of `trials` random draws; `parallel` trials run side by side.
    """
    return {"method": method, "trials": trials, "parallel": parallel, "seed": seed, **space}
