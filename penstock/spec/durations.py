"""Lengths of time on the calendar: `months(3)` is three calendar months, whatever their days."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from dateutil.relativedelta import relativedelta
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Duration(BaseModel):
    """A positive length of time; `at - duration` and `at + duration` follow the calendar."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Each at most a century: the calendar ends, and arithmetic beyond its end is no message.
    months: Annotated[int, Field(ge=0, le=1_200)] = 0
    days: Annotated[int, Field(ge=0, le=36_525)] = 0
    hours: Annotated[int, Field(ge=0, le=876_600)] = 0

    @model_validator(mode="after")
    def _positive(self) -> Duration:
        if not (self.months or self.days or self.hours):
            raise ValueError("a duration must be longer than nothing, for example days(14)")
        return self

    def before(self, at: datetime) -> datetime:
        before: datetime = at - self._delta()
        return before

    def after(self, at: datetime) -> datetime:
        after: datetime = at + self._delta()
        return after

    def _delta(self) -> relativedelta:
        return relativedelta(months=self.months, days=self.days, hours=self.hours)

    def __str__(self) -> str:
        parts = [f"{n} {unit}" for unit, n in self.model_dump().items() if n]
        return " ".join(parts)


def months(n: int) -> dict[str, int]:
    """`n` calendar months."""
    return {"months": n}


def weeks(n: int) -> dict[str, int]:
    """`n` weeks of seven days."""
    return {"days": 7 * n}


def days(n: int) -> dict[str, int]:
    """`n` days."""
    return {"days": n}


def hours(n: int) -> dict[str, int]:
    """`n` hours."""
    return {"hours": n}
