"""The docs are true: the README's commands are the ones that CI runs, and examples run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from jobs.bundle.check import supported
from penstock import loader
from penstock_function import open_inference
from penstock_function.package import Package
from penstock_function.step import Step

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def test_ci_runs_the_readmes_test_command() -> None:
    """The README's two commands are targets of make, and CI calls `make test`."""
    two = [line.split("#")[0].strip() for line in blocks("README.md", "bash")[0].splitlines()]
    assert two == ["make demo", "make test"]
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()
    for command in two:
        subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_every_make_target_has_help() -> None:
    """`make help` lists each target a person may call."""
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(line.split()[0] for line in said.splitlines()) == sorted(phony[1].split())


def test_the_readmes_commands_exist() -> None:
    """Each `penstock` line of these pages is one that the command line takes, options and all."""
    from typer.main import get_command

    from penstock.cli.main import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    pages = [
        ("README.md", "bash"),
        *((f"docs/{name}.md", "sh") for name in ("cli", "fit", "gateway", "rollout")),
    ]
    lines = "".join(block for page in pages for block in blocks(*page)).splitlines()
    used = [words for line in lines if "penstock " in line and (words := shlex.split(line, comments=True))]
    assert len(used) > 10
    for program, name, *arguments in used:
        assert program.endswith("penstock")
        commands[name].make_context(name, arguments)  # raises for what it does not take


def test_the_readmes_pipeline_is_one(tmp_path: Path) -> None:
    """The declaration in the README passes every check of the spec."""
    folder = tmp_path / "dags" / "flight_delays"
    folder.mkdir(parents=True)
    (folder / "pipeline.py").write_text(blocks("README.md", "python")[0])
    assert loader.load("flight_delays", tmp_path / "dags").name == "flight_delays"


@pytest.mark.parametrize("number", [0, 2])
def test_the_docs_steps_answer_their_examples(number: int) -> None:
    """Both steps of docs/steps.md are whole, and right."""
    Step("documented", blocks("docs/steps.md", "python")[number].encode()).prove(1e-9)


def test_the_docs_triggers_are_declared() -> None:
    """What docs/targets.md declares is taken."""
    from penstock.spec.function import Function

    declared: dict[str, Any] = {}
    exec(blocks("docs/targets.md", "python")[0], declared)
    assert len(Function.model_validate(declared["function"]).triggers) == 3


def test_the_docs_rollout_is_declared() -> None:
    """What docs/rollout.md declares is taken; its table names every word of a plan, and the defaults are those."""
    from penstock.spec.function import Function
    from penstock.spec.rollout import Rollout

    declared: dict[str, Any] = {}
    exec(blocks("docs/rollout.md", "python")[0], declared)
    assert set(declared["function"]["rollout"]) == set(Rollout.model_fields)
    plan, usual = Function.model_validate(declared["function"]).rollout, Rollout()
    assert plan == usual.model_copy(update={"shadow": 200, "sticky": "X-Customer"})
    table = (ROOT / "docs/rollout.md").read_text().split("| --- | --- | --- |")[1].split("\n\n")[0]
    named = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines() if line]
    assert {name for names in named for name in names} == set(Rollout.model_fields)


def test_the_docs_prices_are_a_table(tmp_path: Path) -> None:
    """The table in docs/fit.md is one, and has every word of every kind of price."""
    from penstock.fit.prices import read

    table = tmp_path / "prices.toml"
    table.write_text(blocks("docs/fit.md", "toml")[0])
    prices = read(table).targets.values()
    assert len({price.kind for price in prices}) == 3
    assert all(price.model_fields_set == set(type(price).model_fields) for price in prices)


def test_the_docs_fields_of_the_gateway_are_its_files() -> None:
    """docs/gateway.md names every field of gateway.toml, and no other."""
    from penstock.host.gateway.config import Config, Jwt, Route

    table = (ROOT / "docs/gateway.md").read_text().split("| --- | --- | --- |")[1].split("\n\n")[0]
    named = [
        name for line in table.splitlines() if line for name in re.findall(r"`([\w.]+)`", line.split("|")[1])
    ]
    tables = {"jwt": Jwt, "routes": Route}
    own = [name for name in Config.model_fields if name not in tables]
    below = [f"{table}.{name}" for table, model in tables.items() for name in model.model_fields]
    assert sorted(named) == sorted([*own, *below])


def test_the_docs_targets_are_those_that_there_are() -> None:
    """docs/targets.md names every target that a function may be declared for, and each can be opened."""
    from penstock import targets
    from penstock.spec.function import Function

    table = (ROOT / "docs/targets.md").read_text().split("| --- | --- |")[1].split("\n\n")[0]
    declared = get_args(Function.model_fields["target"].annotation)
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == sorted(declared)
    assert set(declared) == targets._TARGETS.keys()


def test_the_docs_variables_of_kubernetes_are_those_that_are_read() -> None:
    """docs/targets.md names each."""
    from penstock.targets.kubernetes import settings

    page = (ROOT / "docs/targets.md").read_text()
    read = {
        value for value in vars(settings).values() if isinstance(value, str) and value.startswith("PENSTOCK_")
    }
    assert len(read) > 8
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []


def test_the_docs_request_of_the_open_inference_protocol_is_one() -> None:
    """What docs/targets.md has callers of KServe send is the record that it has the others send."""
    (command,) = (each for each in blocks("docs/targets.md", "bash") if "/v2/models/" in each)
    _, *arguments = shlex.split(command)
    request = json.loads(arguments[arguments.index("-d") + 1])
    records = open_inference.asked(cast(Package, None), request, memoryview(b"")).records
    assert records == [{"carrier": "AA", "distance": 1089.0}]


def test_the_docs_fields_are_the_specs() -> None:
    """docs/pipeline.md names every field of a pipeline, and no other."""
    from penstock import Pipeline

    table = (ROOT / "docs/pipeline.md").read_text().split("| --- | --- |")[1].split("\n\n")[0]
    named = {
        name for line in table.splitlines() if line for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == set(Pipeline.model_fields)


def test_the_docs_stages_are_those_that_can_be_served() -> None:
    """docs/pipeline.md names every stage that has an ONNX form, and no other."""
    listed = (
        (ROOT / "docs/pipeline.md").read_text().split("Stages that can become a function: ")[1].split(".")[0]
    )
    assert re.findall(r"`(\w+)`", listed) == supported()


def test_the_docs_stages_of_mleap_are_those_that_it_has() -> None:
    """docs/function.md names every stage that has a form in a Bundle.ML, and no other."""
    listed = (ROOT / "docs/function.md").read_text().split("Stages with an op in MLeap: ")[1].split(".")[0]
    assert re.findall(r"`(\w+)`", listed) == supported("mleap")


def test_dependencies_are_named() -> None:
    """docs/dependencies.md names every direct dependency."""
    page = (ROOT / "docs/dependencies.md").read_text()
    for file in ROOT.glob("images/*/requirements.in"):
        for line in file.read_text().splitlines():
            name = re.split(r"[=<> \[]", line)[0]
            if (
                name
                and not name.startswith(("#", "-"))
                and name != "apache-airflow-providers-cncf-kubernetes"
            ):
                assert name in page, f"{name} ({file.parent.name}) is not in docs/dependencies.md"


def test_pages_that_the_code_names_exist() -> None:
    """Whoever is sent to a page by an error, a docstring or a template finds it."""
    named = {
        (page, path.relative_to(ROOT).as_posix())
        for folder in ("bench", "dags", "demo", "images", "jobs", "penstock", "plugins", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".jinja", ".j2", ".html")
        for page in re.findall(r"(?<![\w/.])docs/[\w/-]+\.md", path.read_text())
    }
    assert ("docs/pipeline.md", "jobs/common/usercode.py") in named
    assert [(page, where) for page, where in sorted(named) if not (ROOT / page).is_file()] == []
