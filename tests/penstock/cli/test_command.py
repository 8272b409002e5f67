"""What holds for every command: one JSON document, one clear error, documented exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from penstock.cli import status
from penstock.settings import Settings
from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import write

HEAVY = (
    "mlflow",
    "airflow",
    "pyspark",
    "great_expectations",
    "pandas",
    "numpy",
    "httpx",
    "psutil",
    "jinja2",
    "sqlalchemy",
)


def test_help_loads_nothing_heavy() -> None:
    """`penstock --help` is quick because it imports no library that only a command needs."""
    code = (
        "import sys; from penstock.cli.main import main\n"
        "try: main(['--help'])\n"
        f"finally: print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in ran.stdout
    for command in ("init", "check", "run", "status", "invoke", "predict", "gc", "remove", "rollback", "explain",
                    "up", "down", "logs", "airflow", "schema", "reconcile", "fit"):  # fmt: skip
        assert f"│ {command} " in ran.stdout


def test_an_answer_is_the_only_thing_on_stdout(penstock: Penstock) -> None:
    """With --json, stdout is one document of the command's schema."""
    ran = penstock("status", "--json")
    assert ran.answer == {"airflow": "stopped", "pipelines": []}
    assert ran.code == 0


def test_what_others_print_goes_to_stderr(penstock: Penstock, shift: Settings) -> None:
    """A declaration that prints, itself and by a child, does not spoil the document."""
    pipeline = shift.dags / "shift" / "pipeline.py"
    pipeline.write_text("import os\nprint('hello')\nos.system('echo child')\n" + pipeline.read_text())
    ran = penstock("status", "shift", "--json")
    assert ran.answer["pipelines"][0]["name"] == "shift"
    assert "hello" in ran.stderr
    assert "child" in ran.stderr


def test_an_error_is_one_clear_paragraph(penstock: Penstock) -> None:
    """What was wrong and what to do, on stderr; no traceback; the status of its kind."""
    ran = penstock("run", "nope")
    assert ran.code == 2
    assert ran.stdout == ""
    assert ran.stderr == (
        "error: there is no pipeline 'nope' (no dags/nope/pipeline.py); pipelines here: none\n"
        "To do: check the name, or make it: penstock init nope\n"
    )


def test_an_error_is_a_document_too(penstock: Penstock) -> None:
    """With --json the error is on stdout as well, with its kind and exit status."""
    ran = penstock("run", "nope", "--json")
    assert ran.code == 2
    assert ran.answer["exit_code"] == 2
    assert ran.answer["error"]["kind"] == "spec"
    assert "penstock init nope" in ran.answer["error"]["next_step"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_shows_the_traceback(penstock: Penstock, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """--debug, before or after the command, adds the traceback to the same error."""
    monkeypatch.setenv("PENSTOCK_DEBUG", "")  # so that what --debug sets is undone after the test
    ran = penstock("--debug", "run", "nope") if where == "before" else penstock("run", "nope", "--debug")
    assert "Traceback (most recent call last)" in ran.stderr
    assert "error: there is no pipeline 'nope'" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["run"], "Missing argument"),
        (["run", "x", "--odd"], "No such option"),
    ],
)
def test_a_wrong_command_line_exits_2(penstock: Penstock, arguments: list[str], said: str) -> None:
    """A command, argument or option that is not there is named, with where to read more."""
    ran = penstock(*arguments)
    assert ran.code == 2
    assert said in ran.stderr
    assert "--help" in ran.stderr
    assert penstock(*arguments, "--json").answer["error"]["kind"] == "usage"


def test_a_defect_says_that_it_is_one(penstock: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is no traceback either, and asks to be reported."""
    monkeypatch.setattr(status.project, "runs", lambda here: 1 / 0)
    ran = penstock("status", "--json")
    assert ran.code == 1
    assert ran.answer["error"]["kind"] == "defect"
    assert "ZeroDivisionError" in ran.answer["error"]["message"]
    assert "Traceback" not in ran.stderr


def test_airflow_is_passed_on(penstock: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows -- goes to Airflow as it is, and its exit status comes back."""
    from penstock import services

    seen: list[tuple[str, ...]] = []

    def fake(here: Settings, *arguments: str) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setattr(services, "airflow", fake)
    ran = penstock("airflow", "--json", "--", "dags", "list", "--json")
    assert seen == [("dags", "list", "--json")]
    assert ran.code == 3
    assert ran.answer == {"arguments": ["dags", "list", "--json"], "exit_code": 3}


def test_the_schema_of_the_spec_and_of_each_answer(penstock: Penstock) -> None:
    """`schema` prints the declaration's JSON Schema, or a command's."""
    assert "sources" in penstock("schema").answer["properties"]
    run = penstock("schema", "run", "--json").answer
    stage = run["$defs"]["StageAnswer"]["properties"]
    assert stage["state"]["enum"] == ["ran", "reused", "refused", "skipped", "failed"]
    assert {"name", "state", "key", "seconds"} <= set(stage)
    assert {"run", "state", "stages", "gates", "version", "url"} <= set(
        run["$defs"]["RunAnswer"]["properties"]
    )
    assert penstock("schema", "nonsense").code == 1


def test_answers_keep_their_schema(penstock: Penstock, shift: Settings) -> None:
    """What a command prints is valid by the schema that it documents."""
    import jsonschema

    write(shift.dags / "broken" / "pipeline.py", "1 / 0")
    for arguments in (["status"], ["check"], ["gc"], ["down"]):
        schema = penstock("schema", arguments[0]).answer
        jsonschema.validate(penstock(*arguments, "--json").answer, schema)
    assert json.dumps(schema)
