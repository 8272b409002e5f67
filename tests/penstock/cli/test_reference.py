"""The documentation of the command line says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.cli import reference
from penstock.cli.command import ANSWERS

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["cli.md", "exit-codes.md"])
def test_the_reference_is_fresh(page: str) -> None:
    """`python -m penstock.cli.reference` would change nothing."""
    path = CHECKOUT / "docs" / page
    assert path.read_text() == reference.pages(CHECKOUT / "docs")[path]


def test_every_command_and_part_has_a_place() -> None:
    """Each command has its section, and each link to a part of an answer leads somewhere."""
    text = reference.commands()
    assert {name for name in ANSWERS if f"## penstock {name}\n" in text} == set(ANSWERS)
    linked = set(re.findall(r"\]\(#(\w+)\)", text))
    headed = {heading.lower() for heading in re.findall(r"^### (\w+)$", text, re.M)}
    assert linked <= headed
    assert headed <= linked


def test_every_kind_of_failure_is_documented() -> None:
    """Each kind that an error class of the core or the jobs declares is on the page of exit codes."""
    page = (CHECKOUT / "docs" / "exit-codes.md").read_text()
    sources = [*(CHECKOUT / "penstock").rglob("*.py"), *(CHECKOUT / "jobs").rglob("*.py")]
    declared = [
        re.findall(r"^    kind(?:: ClassVar\[str\])? = \"([a-z-]+)\"", path.read_text(), re.M)
        for path in sources
    ]
    kinds = {kind for found in declared for kind in found}
    assert {"spec", "data", "target", "unsupported-stage"} <= kinds
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()


def test_the_commands_of_the_page_are_commands() -> None:
    """What the page tells to type names commands and options that there are."""
    page = (CHECKOUT / "docs" / "cli.md").read_text().split(reference.BEGIN)[0]
    typed = re.findall(r"^penstock (\w+)(.*?)(?:#.*)?$", page, re.M)
    assert len(typed) >= 9
    made = reference.commands()
    for command, rest in typed:
        section = made.split(f"## penstock {command}\n")[1].split("\n## ")[0]
        for option in re.findall(r"(--[\w-]+)", rest):
            assert f"`{option}`" in section
