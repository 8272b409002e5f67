"""`python -m jobs.check --request FILE --findings FILE`: the heavy half of `penstock check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock import settings
from penstock.findings import CheckFindings, CheckRequest


def main() -> None:
    """Read the request (penstock.findings.CheckRequest), write the findings."""
    parser = argparse.ArgumentParser(prog="python -m jobs.check")
    parser.add_argument("--request", required=True, type=Path, help="the pipelines to check, a JSON file")
    parser.add_argument("--findings", required=True, type=Path, help="where the findings are written")
    arguments = parser.parse_args()
    from jobs.check import model_code, steps, suites

    here = settings.load()
    request = CheckRequest.model_validate_json(arguments.request.read_bytes())
    findings = {
        pipeline.name: [
            *model_code.check(pipeline, here),
            *suites.check(pipeline, here),
            *steps.check(pipeline, here),
        ]
        for pipeline in request.pipelines
    }
    arguments.findings.write_text(CheckFindings(findings=findings).model_dump_json())


if __name__ == "__main__":
    main()
