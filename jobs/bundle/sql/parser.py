"""Tokens to a syntax tree, by recursive descent over Spark's precedence.

Loosest first: OR, AND, NOT, the predicates (IS, IN, BETWEEN) and comparisons, `+ -`, `* / % DIV`, the signs before an
operand, `::`. Source: Spark's SqlBaseParser.g4, rules booleanExpression, predicate and valueExpression.
"""

from __future__ import annotations

import re

from jobs.bundle.sql.errors import UnsupportedSql, unsupported
from jobs.bundle.sql.lexer import Token, tokens
from jobs.bundle.sql.syntax import Call, Case, Cast, Column, Expression, Item, Literal, Select, Star

_THIS = "__THIS__"
_COMPARISONS = {
    "=": "=",
    "==": "=",
    "<>": "<>",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "<=>": "<=>",
}
_TYPES = {
    "double": "double",
    "float": "float",
    "real": "float",
    "int": "int",
    "integer": "int",
    "bigint": "long",
    "long": "long",
    "boolean": "boolean",
}
_SUFFIXES = {"L": "long", "S": "int", "Y": "int", "D": "double", "F": "float", "BD": "decimal", "": ""}
_RESERVED = {
    "select", "from", "where", "as", "and", "or", "not", "case", "when", "then", "else", "end", "is", "in", "between",
    "null", "div", "group", "order", "having", "limit", "join", "union", "over", "like", "rlike", "distinct",
}  # fmt: skip


def parse(statement: str) -> Select:
    """The items of a statement. Raises UnsupportedSql, which says where and what."""
    return _Parser(statement).select()


class _Parser:
    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._tokens = tokens(statement)
        self._at = 0

    # What is next, and taking it.

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _word(self, *words: str) -> bool:
        if self._next.is_word(*words):
            self._at += 1
            return True
        return False

    def _sign(self, *signs: str) -> str | None:
        return self._take().text if self._next.is_sign(*signs) else None

    def _expect(self, what: str) -> None:
        if not (self._word(what) or self._sign(what)):
            raise self._wrong(f"{what.upper()} expected")

    def _wrong(self, why: str) -> UnsupportedSql:
        found = self._next.text or "the end"
        return unsupported(
            f"{why}, found {found!r} at character {self._next.start + 1} of {self._statement!r}",
            "a statement is SELECT ... FROM __THIS__ over one row; see jobs/bundle/sql for what it may say",
        )

    # The statement.

    def select(self) -> Select:
        self._expect("select")
        items = [self._item()]
        while self._sign(","):
            items.append(self._item())
        self._expect("from")
        table = self._take()
        if table.text.upper() != _THIS:
            self._at -= 1
            raise self._wrong(f"{_THIS} expected")
        if self._next.kind != "end":
            raise self._wrong("the statement should end here (no WHERE, JOIN, GROUP BY or the like)")
        return tuple(items)

    def _item(self) -> Star | Item:
        if self._next.is_word(_THIS.lower()) and self._tokens[self._at + 2].is_sign("*"):
            self._at += 2
        if self._sign("*"):
            return Star(self._excepted())
        expression = self.expression()
        named = self._word("as")
        if named or self._next.kind == "quoted" or self._names_column(self._next):
            return Item(expression, self._name())
        if isinstance(expression, Column):
            return Item(expression, expression.name)
        raise self._wrong("an expression needs a name: AS name expected")

    def _excepted(self) -> frozenset[str]:
        if not self._word("except"):
            return frozenset()
        self._expect("(")
        names = {self._name()}
        while self._sign(","):
            names.add(self._name())
        self._expect(")")
        return frozenset(names)

    def _name(self) -> str:
        if self._next.kind == "quoted" or self._names_column(self._next):
            return self._take().text
        raise self._wrong("a column's name expected")

    @staticmethod
    def _names_column(token: Token) -> bool:
        return token.kind == "word" and token.text.lower() not in _RESERVED

    # Expressions, loosest first.

    def expression(self) -> Expression:
        left = self._and()
        while self._word("or"):
            left = Call("or", (left, self._and()))
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self._word("and"):
            left = Call("and", (left, self._not()))
        return left

    def _not(self) -> Expression:
        if self._word("not") or self._sign("!"):
            return Call("not", (self._not(),))
        return self._predicate()

    def _predicate(self) -> Expression:
        value = self._comparison()
        while True:
            if self._word("is"):
                negated = self._word("not")
                value = self._maybe_not(negated, self._is(value))
                continue
            start = self._at
            negated = self._word("not")
            if self._word("between"):
                low = self._sum()
                self._expect("and")
                high = self._sum()
                inside = Call("and", (Call(">=", (value, low)), Call("<=", (value, high))))
                value = self._maybe_not(negated, inside)
            elif self._word("in"):
                self._expect("(")
                value = self._maybe_not(negated, Call("in", (value, *self._arguments())))
            else:
                self._at = start
                return value

    def _is(self, value: Expression) -> Expression:
        if self._word("null"):
            return Call("is null", (value,))
        if self._next.is_word("true", "false"):
            wanted = Literal("boolean", self._take().text.lower())
            return Call("<=>", (value, wanted))
        raise self._wrong("NULL, TRUE or FALSE expected")

    @staticmethod
    def _maybe_not(negated: bool, value: Expression) -> Expression:
        return Call("not", (value,)) if negated else value

    def _comparison(self) -> Expression:
        left = self._sum()
        while sign := self._sign(*_COMPARISONS):
            left = Call(_COMPARISONS[sign], (left, self._sum()))
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while sign := self._sign("+", "-"):
            left = Call(sign, (left, self._product()))
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while True:
            if self._word("div"):
                left = Call("div", (left, self._unary()))
            elif sign := self._sign("*", "/", "%"):
                left = Call(sign, (left, self._unary()))
            else:
                return left

    def _unary(self) -> Expression:
        if self._sign("+"):
            return self._unary()
        if self._sign("-"):
            # A number right after the sign is a negative literal in Spark too.
            return Call("negative", (self._unary(),))
        value = self._primary()
        while self._sign("::"):
            value = Cast(value, self._type())  # type: ignore[arg-type]
        return value

    def _primary(self) -> Expression:
        token = self._next
        if token.kind == "number":
            return _number(self._take().text)
        if token.kind == "string":
            return Literal("string", self._take().text)
        if self._sign("("):
            inner = self.expression()
            self._expect(")")
            return inner
        if token.is_word("true", "false"):
            return Literal("boolean", self._take().text.lower())
        if self._word("null"):
            return Literal("null", "")
        if self._word("case"):
            return self._case()
        if token.is_word("cast") and self._tokens[self._at + 1].is_sign("("):
            self._at += 2
            value = self.expression()
            self._expect("as")
            cast = Cast(value, self._type())  # type: ignore[arg-type]
            self._expect(")")
            return cast
        return self._named()

    def _named(self) -> Expression:
        token = self._next
        name = self._name()
        if token.kind == "word" and self._sign("("):
            return self._call(name.lower())
        if token.text.upper() == _THIS and self._sign("."):
            name = self._name()
        if self._next.is_sign(".", "("):
            raise self._wrong(f"{name!r} is a plain column here")
        return Column(name)

    def _call(self, name: str) -> Expression:
        arguments = () if self._sign(")") else tuple(self._arguments())
        if name in _TYPES and len(arguments) == 1:
            return Cast(arguments[0], _TYPES[name])  # type: ignore[arg-type]
        return Call(name, arguments)

    def _arguments(self) -> list[Expression]:
        found = [self.expression()]
        while self._sign(","):
            found.append(self.expression())
        self._expect(")")
        return found

    def _case(self) -> Expression:
        compared = None if self._next.is_word("when") else self.expression()
        branches = []
        while self._word("when"):
            condition = self.expression()
            self._expect("then")
            if compared is not None:
                condition = Call("=", (compared, condition))
            branches.append((condition, self.expression()))
        if not branches:
            raise self._wrong("WHEN expected")
        otherwise = self.expression() if self._word("else") else Literal("null", "")
        self._expect("end")
        return Case(tuple(branches), otherwise)

    def _type(self) -> str:
        name = self._next.text.lower()
        if self._next.kind != "word" or name not in _TYPES:
            raise self._wrong(f"a type to cast to ({', '.join(_TYPES)}) expected")
        self._take()
        return _TYPES[name]


def _number(text: str) -> Literal:
    match = re.fullmatch(r"([\d.]+(?:e[+-]?\d+)?)(BD|[LSYDF])?", text, re.IGNORECASE)
    if match is None:
        raise UnsupportedSql(f"SQLTransformer: {text!r} is no number")
    digits, kind = match[1], _SUFFIXES[(match[2] or "").upper()]
    if not kind:
        if "e" in digits.lower():
            kind = "double"
        elif "." in digits:
            kind = "decimal"
        else:
            kind = "int" if int(digits) < 2**31 else "long"
    return Literal(kind, digits)  # type: ignore[arg-type]
