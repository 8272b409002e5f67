"""Patience with a source that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from penstock.errors import SourceUnavailable

_T = TypeVar("_T")


@dataclass(frozen=True)
class Patience:
    """How often to ask, and how long to wait (seconds): doubling from `wait` up to `longest`, with jitter."""

    attempts: int = 5
    wait: float = 1.0
    longest: float = 30.0

    def call(self, what: str, question: Callable[[], _T]) -> _T:
        """Ask until there is an answer. Raises the last SourceUnavailable when patience ends."""

        def say(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            pause = state.next_action.sleep if state.next_action else 0.0
            message = error.message if isinstance(error, SourceUnavailable) else error
            print(
                f"{what}: {message}; try {state.attempt_number + 1} of {self.attempts} in {pause:.1f} s",
                flush=True,
            )

        retrying = Retrying(
            retry=retry_if_exception_type(SourceUnavailable),
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential_jitter(multiplier=self.wait, max=self.longest, jitter=self.wait),
            before_sleep=say,
            reraise=True,
        )
        try:
            return retrying(question)
        except SourceUnavailable as error:
            raise SourceUnavailable(
                f"{error.message} (asked {self.attempts} times)", next_step=error.next_step
            ) from None
