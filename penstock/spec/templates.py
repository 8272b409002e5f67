"""What the texts of a source may name, told where they are declared: `{{ interval }}` in a URI, `:start` in a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

#: The names that a URI's template knows, each with its attributes.
NAMES: dict[str, tuple[str, ...]] = {"interval": ("start", "end", "name"), "var": ()}
#: The usual ones, which need no parser.
_PLAIN = re.compile(r"\{\{\s*(?:interval(?:\.(?:start|end|name))?|var)\s*\}\}")
#: The parameters that a query may have.
BINDS = ("start", "end")
ALLOWED = "{{ interval }}, {{ interval.start }}, {{ interval.end }} and {{ var }}"
_TEMPLATE = re.compile(r"\{[{%#]")
#: A parameter as SQLAlchemy's text() sees it: a colon that is neither doubled, escaped nor within a word.
_BIND = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")
#: `{{ interval }}` meant as in a URI, and not an array of SQL such as {{1,2},{3,4}}.
_MEANT = re.compile(r"\{\{\s*[A-Za-z_][\w.]*\s*\}\}")


@cache
def environment() -> SandboxedEnvironment:
    """Where URIs are rendered; importing Jinja takes a moment, so only those do that need it."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined)


def uri_fault(uri: str) -> str | None:
    """What is wrong with a URI's template, as far as it can be told without an interval."""
    if not _TEMPLATE.search(_PLAIN.sub("", uri)):
        return None
    from jinja2 import TemplateError

    try:
        unknown = sorted(_unknown(uri))
    except TemplateError as error:
        return f"is a broken template: {str(error).rstrip('.')}; allowed: {ALLOWED}"
    return f"names {', '.join(unknown)}; allowed: {ALLOWED}" if unknown else None


def _unknown(uri: str) -> Iterator[str]:
    from jinja2 import meta, nodes

    tree = environment().parse(uri)
    yield from meta.find_undeclared_variables(tree) - set(NAMES)
    for found in tree.find_all(nodes.Getattr):
        owner = found.node.name if isinstance(found.node, nodes.Name) else None
        if owner in NAMES and found.attr not in NAMES[owner]:
            yield f"{owner}.{found.attr}"


def query_fault(query: str) -> str | None:
    """What is wrong with the parameters of a query."""
    if _MEANT.search(query):
        return "is no template; allowed: the parameters :start and :end, the interval's bounds"
    unknown = sorted(set(_BIND.findall(query)) - set(BINDS))
    if not unknown:
        return None
    return f"names :{', :'.join(unknown)}; allowed: :start and :end (write a colon that is text as \\:)"
