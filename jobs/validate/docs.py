"""Data Docs of one validation: what Great Expectations renders, in a page that stands alone.

Great Expectations' own page loads styles and scripts from eight web sites. A page in the artifact store must look
the same on a machine without a network, and must not tell others who reads it: `data_docs.j2` loads nothing.
"""

from __future__ import annotations

import copy
import html
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.validate.checks import Check

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

_TEMPLATE = "data_docs.j2"


def write_docs(
    folder: Path,
    suite: ExpectationSuite,
    checks: Sequence[Check],
    results: list[ExpectationValidationResult],
    subject: str,
) -> None:
    """Write `index.html` into `folder`, which is made: all results, or a line that there was nothing to check."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    view = DefaultJinjaPageView(custom_views_directory=str(Path(__file__).parent))
    sections: list[dict[str, Any]] = []
    if results:
        content = ValidationResultsPageRenderer().render(_whole(suite, results, subject)).to_json_dict()
        # The overview links to pages of a whole site; the template has its own.
        sections = [part for part in content["sections"] if part.get("section_name") != "Overview"]
    values = {
        "page_title": f"{subject}: suite {suite.name}",
        "renderer_type": "ValidationResultsPageRenderer",
        "checks": checks,
        "sections": sections,
    }
    folder.mkdir()
    (folder / "index.html").write_text(view.env.get_template(_TEMPLATE).render(values), encoding="utf-8")


def _whole(
    suite: ExpectationSuite, results: list[ExpectationValidationResult], subject: str
) -> ExpectationSuiteValidationResult:
    from great_expectations import __version__
    from great_expectations.core import ExpectationSuiteValidationResult, RunIdentifier

    passed = sum(bool(result.success) for result in results)
    return ExpectationSuiteValidationResult(
        success=passed == len(results),
        results=[_escaped(result) for result in results],
        suite_name=suite.name,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100 * passed / len(results),
        },
        meta={
            "great_expectations_version": __version__,
            "run_id": RunIdentifier(run_name=subject, run_time=datetime.now(UTC)),
        },
    )


def _escaped(result: ExpectationValidationResult) -> ExpectationValidationResult:
    """A copy whose values are safe in a page: the templates put unexpected values there as they are."""
    safe = copy.copy(result)
    safe.result = _escape(result.result)
    return safe


def _escape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escape(each) for each in value]
    return html.escape(value) if isinstance(value, str) else value
