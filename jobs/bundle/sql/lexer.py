"""A statement's text to tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from jobs.bundle.sql.errors import unsupported

Kind = Literal["word", "quoted", "number", "string", "sign", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?:BD|[LSYDF])?(?![A-Za-z_0-9.]))
  | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
  | `(?P<quoted>(?:[^`]|``)+)`
  | '(?P<string>(?:[^'\\])*)'
  | (?P<sign><=>|<>|!=|<=|>=|==|::|[-+*/%(),.=<>!])
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A word (any case), a quoted name, a number, a string or a sign, and where it starts."""

    kind: Kind
    text: str
    start: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the keywords."""
        return self.kind == "word" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        """Whether this is one of the signs."""
        return self.kind == "sign" and self.text in signs


def tokens(statement: str) -> list[Token]:
    """The tokens of a statement, an `end` last. Raises UnsupportedSql at the first character that starts none."""
    found: list[Token] = []
    at = 0
    while at < len(statement):
        match = _TOKEN.match(statement, at)
        if match is None:
            raise unsupported(
                f"cannot read {statement[at : at + 20]!r} at character {at + 1} of {statement!r}",
                "a string has no backslashes; see jobs/bundle/sql for what a statement may say",
            )
        kind = match.lastgroup
        if kind == "quoted":
            found.append(Token("quoted", match["quoted"].replace("``", "`"), at))
        elif kind == "string":
            found.append(Token("string", match["string"], at))
        elif kind in ("number", "word", "sign"):
            found.append(Token(kind, match[kind], at))  # type: ignore[arg-type]
        at = match.end()
    return [*found, Token("end", "", len(statement))]
