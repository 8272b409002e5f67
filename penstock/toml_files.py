"""Files of TOML that people write."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from penstock.errors import PenstockError

_T = TypeVar("_T")


def read(
    path: Path,
    what: str,
    parse: Callable[[dict[str, Any]], _T],
    faults: Callable[[ValidationError], Iterable[str]],
    mend: str,
) -> _T:
    """What a file says, as `parse` has it. `what` it holds, and what to do (`mend`), are said where that is wrong.

    Raises PenstockError: it cannot be read, is no TOML, or is refused by `parse` (ValidationError), then with all its `faults`.
    """
    try:
        return parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PenstockError(
            f"{what} in {path} cannot be read: {error.strerror}", next_step="correct the path"
        ) from error
    except ValidationError as error:
        raise PenstockError(f"{path}: {'; '.join(faults(error))}", next_step=mend) from error
    except ValueError as error:  # no TOML, or no UTF-8; it says the line
        raise PenstockError(f"{path} is no TOML: {error}", next_step=mend) from error
