"""A source's URI is a template of the data interval: `{{ var }}/data/flights/{{ interval }}/*.csv.gz`."""

from __future__ import annotations

from penstock.errors import SpecError
from penstock.intervals import Interval
from penstock.redaction import redact
from penstock.settings import Settings
from penstock.spec.sources import Files
from penstock.spec.templates import ALLOWED, environment


def render_uri(source: Files, interval: Interval, settings: Settings) -> str:
    """The URI (or glob pattern) of a source's files for one data interval.

    The template knows `interval` (in text its name, 2013-06-01; `interval.start` and `interval.end` are datetimes
    in UTC) and `var`, the folder of this installation's state. A relative path starts at the project's root.

    Raises SpecError where the template is wrong or names something else.
    """
    from jinja2 import TemplateError

    try:
        uri = environment().from_string(source.uri).render(interval=interval, var=str(settings.var)).strip()
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise SpecError(
            f"the uri of source {source.name!r} cannot be rendered: {error} (given: {redact(repr(source.uri))})",
            next_step=f"use {ALLOWED} only, for example data/flights/{{{{ interval }}}}/*.csv.gz",
        ) from None
    if not uri:
        raise SpecError(
            f"the uri of source {source.name!r} is empty for interval {interval} (given: {redact(repr(source.uri))})",
            next_step="let the template give a path or URI",
        )
    if "://" in uri or "::" in uri or uri.startswith("/"):
        return uri
    return str(settings.root / uri)
