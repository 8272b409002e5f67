"""What was measured of a function package (jobs.fit.measure)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

#: Bytes of what clouds call a GB of memory.
GIB = 2**30


class Warm(BaseModel):
    """A package, and its runtime once it is warm: what the gate `fit` judges. A request has one record here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: int = Field(description="the package on disk")
    memory_bytes: int = Field(description="resident memory of the runtime's process, once it is warm")
    private_bytes: int = Field(
        description="of these, what no other process shares: a further function on the same machine"
    )
    own_p99_ms: float = Field(
        description="99th percentile of a request, in the process's own processor time, which a busy machine does not change; "
        "by the clock where only the clock tells (no Linux)"
    )
    p50_ms: float = Field(description="median of a request, by the clock of one client on this machine")
    p99_ms: float = Field(description="99th percentile of the same")
    payload_bytes: int = Field(description="the largest record or answer among the samples")


class Figures(Warm):
    """All that is measured of a package, on this machine."""

    rest_bytes: int = Field(description="resident memory of the runtime without a package")
    loaded_bytes: int = Field(description="the same when it has proved the package, and answered nothing yet")
    start_ms: float = Field(description="start of the process without a package, until it listens")
    prove_ms: float = Field(description="what loading the package and proving its samples adds to that")
    first_answer_ms: float = Field(description="start of the process until its first answer, all of it")
    requests_a_second: float = Field(
        description="requests of one record for a second of one core, while several clients ask at once"
    )
    records_a_second: float = Field(description="records for a second of one core, where a request has 100")
