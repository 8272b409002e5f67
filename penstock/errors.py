"""Every error that Penstock raises on purpose: one tree, each with what to do next."""

from __future__ import annotations

from typing import ClassVar


class PenstockError(Exception):
    """Something that was foreseen went wrong.

    `message` says what was wrong, where, what was found and what was expected; `next_step` says what to do.
    `exit_code` is the exit status of a command or job that ends with it (docs/exit-codes.md).
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}. To do: {self.next_step}" if self.next_step else self.message


class SpecError(PenstockError):
    """A pipeline's declaration is wrong; the message lists every fault."""

    exit_code = 2
    kind = "spec"


class UserCodeError(PenstockError):
    """`features()` or `estimator()` of a pipeline broke its contract, or raised."""

    exit_code = 3
    kind = "user-code"


class DataError(PenstockError):
    """What a source gave cannot be used: a missing column, a wrong type, a broken file."""

    exit_code = 4
    kind = "data"


class SourceUnavailable(PenstockError):
    """A source could not be reached, after retries."""

    exit_code = 5
    kind = "source-unavailable"


class GateRefused(PenstockError):
    """A gate said no where that ends the run (the data gate)."""

    exit_code = 6
    kind = "refused"


class StoreError(PenstockError):
    """The artifact store could not be read or written (full, read-only, another format)."""

    exit_code = 7
    kind = "store"


class KeyMismatch(PenstockError):
    """A job was started for a key that its own code, spec and inputs do not give."""

    exit_code = 8
    kind = "key-mismatch"


class DeployError(PenstockError):
    """The target could not be brought to the wanted revision; the old one serves."""

    exit_code = 9
    kind = "deploy"


class Stale(PenstockError):
    """The champion changed between judging and promoting: the verdict must be made again."""

    exit_code = 10
    kind = "stale"


class Interrupted(PenstockError):
    """A person stopped the command (Ctrl-C, or SIGTERM)."""

    exit_code = 130  # what shells use for a command ended by SIGINT: 128 + 2
    kind = "interrupted"
