"""How a page is made from its template: one look (style.css), and nothing that is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def render(
    template: str, content: Mapping[str, Any], *, beside: Path = _HERE, **filters: Callable[..., str]
) -> str:
    """The page of a template in the folder `beside`, which may include `style.css`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([beside, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(content)
