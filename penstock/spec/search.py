"""The space of hyperparameters: a list is a choice, a pair of numbers a range."""

from __future__ import annotations

import itertools
import math
import random
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationInfo

Param = bool | int | float | str


class Range(BaseModel):
    """A uniform range; whole numbers if both ends are. Its own type, as JSON knows no pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float


def _axis(value: object, info: ValidationInfo) -> object:
    """One fault where there is one, instead of one for each form that an axis may have."""
    if isinstance(value, list):
        if not value or not all(isinstance(choice, Param) for choice in value):
            raise ValueError("choices are a list of numbers, texts or booleans, with one at least")
        return value
    if isinstance(value, tuple):
        value = {"low": value[0], "high": value[1]} if len(value) == 2 else {}
    if isinstance(value, Range | Param):
        return value
    if not isinstance(value, dict):
        raise ValueError(
            "allowed are a list of choices, a pair of numbers (low, high), a number, text or boolean"
        )
    if set(value) != {"low", "high"} or not (
        all(_is_number(end) for end in value.values()) and value["low"] < value["high"]
    ):
        raise ValueError("a range is a pair of numbers (low, high) that rises")
    if info.data.get("method") == "grid":
        raise ValueError("a range has no grid; give a list of choices")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


Axis = Annotated[Range | list[Param] | Param, BeforeValidator(_axis)]


class SearchSpace(BaseModel):
    """How training looks for parameters; every extra field is a parameter of `estimator(params)`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Axis]

    method: Literal["random", "grid"] = "random"
    trials: PositiveInt = 8
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    seed: int = 0

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
