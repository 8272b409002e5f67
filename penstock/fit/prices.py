"""The table of prices: what targets cost, in a TOML file that the user can edit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from penstock import toml_files

#: The table that is read where the project has none: examples from public lists.
SHIPPED: Final = Path(__file__).with_name("prices.toml")
#: A project's own, beside dags/.
OWN: Final = "prices.toml"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Share(_Table):
    """A share of a machine that many functions fill: the function's memory at all times, and the processor that its calls take."""

    kind: Literal["share"]
    vcpu_hour: NonNegativeFloat
    gb_hour: NonNegativeFloat


class AlwaysOn(_Table):
    """At least `replicas` of a size, paid whether or not they are asked: `vcpu` cores each, and `gb` of memory or what the
    function takes, if that is more."""

    kind: Literal["always-on"]
    vcpu_hour: NonNegativeFloat
    gb_hour: NonNegativeFloat
    replicas: PositiveInt = 1
    vcpu: PositiveFloat = 1.0
    gb: PositiveFloat


class PerCall(_Table):
    """Paid while a call is answered: its duration, rounded up to whole `rounding_ms`, times `gb` (or what the function takes, if that
    is more) and `vcpu`; and for requests by the million."""

    kind: Literal["per-call"]
    million_requests: NonNegativeFloat = 0.0
    gb_second: NonNegativeFloat
    vcpu_second: NonNegativeFloat = 0.0
    vcpu: PositiveFloat = 1.0
    gb: PositiveFloat
    rounding_ms: PositiveFloat = 1.0


Price = Annotated[Share | AlwaysOn | PerCall, Field(discriminator="kind")]


class Prices(_Table):
    """Prices of targets in one currency. A core is planned to be busy for the share `utilisation` of the time; a GB is 2^30 bytes."""

    currency: Annotated[str, Field(min_length=1)]
    utilisation: Annotated[float, Field(gt=0, le=1)]
    targets: Annotated[dict[str, Price], Field(min_length=1)]


def find(root: Path, given: Path | None) -> Path:
    """The table's file: the one that was given, else the project's own, else the shipped one."""
    return given or (own if (own := root / OWN).is_file() else SHIPPED)


def read(path: Path) -> Prices:
    """The prices in a file. Raises PenstockError: it cannot be read, is no TOML, or holds what is no price; every fault is named."""
    return toml_files.read(
        path, "the prices", Prices.model_validate, _faults, f"mend it; {SHIPPED} is one that holds"
    )


def _faults(error: ValidationError) -> Iterator[str]:
    return map(_fault, error.errors(include_url=False, include_context=False))


def _fault(fault: Any) -> str:
    """`targets.knative.gb_second: found -1, input should be ...`, less the kind that pydantic puts after a target's name."""
    place = list(fault["loc"])
    if len(place) > 3:
        del place[2]
    found = "" if isinstance(fault["input"], dict) else f"found {fault['input']!r}, "
    said = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"{'.'.join(map(str, place)) or 'it'}: {found}{said}"
