"""The table of prices: what ships, whose is read, and what is said of a wrong one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.errors import PenstockError
from penstock.fit.prices import OWN, SHIPPED, Prices, find, read

ONE = """
currency = "EUR"
utilisation = 0.5
[targets.ours]
kind = "always-on"
vcpu_hour = 0.03
gb_hour = 0.004
gb = 0.5
"""


def test_the_shipped_table_has_every_target() -> None:
    """Those of a declaration, and those to compare with; each of a kind."""
    assert {name: price.kind for name, price in read(SHIPPED).targets.items()} == {
        "embedded": "share",
        "kubernetes": "always-on",
        "kserve": "always-on",
        "knative": "per-call",
        "openwhisk": "per-call",
    }


def test_the_file_that_is_given_comes_before_the_projects_own(tmp_path: Path) -> None:
    """Else the project's, else the examples; a file is a whole table."""
    assert find(tmp_path, None) == SHIPPED
    own = tmp_path / OWN
    own.write_text(ONE)
    assert find(tmp_path, None) == own
    assert find(tmp_path, SHIPPED) == SHIPPED
    assert list(read(own).targets) == ["ours"]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("0.03", "-1", "targets.ours.vcpu_hour: found -1, input should be greater than or equal to 0"),
        ("0.03", '"cheap"', "targets.ours.vcpu_hour: found 'cheap', input should be a valid number"),
        ("0.03", "nan", "targets.ours.vcpu_hour: found nan, input should be a finite number"),
        ("gb = 0.5", "", "targets.ours.gb: field required"),
        ("gb = 0.5", "gb = 0.5\ngbb = 1", "targets.ours.gbb: found 1, extra inputs are not permitted"),
        ('"always-on"', '"rented"', "targets.ours: input tag 'rented' found using 'kind' does not match"),
        ('kind = "always-on"', "", "targets.ours: unable to extract tag using discriminator 'kind'"),
        ("= 0.5\n[", "= 60\n[", "utilisation: found 60, input should be less than or equal to 1"),
        ("[targets.ours]", "[targets]", "targets.kind:"),
        (ONE[ONE.index("[") :], "targets = {}", "targets: dictionary should have at least 1 item"),
        ('"EUR"', "EUR", "is no TOML: Invalid value (at line 2, column 12)"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(tmp_path: Path, was: str, now: str, said: str) -> None:
    """Where it is, what was found and what is expected; and a table that holds to look at."""
    path = tmp_path / OWN
    assert was in ONE
    path.write_text(ONE.replace(was, now))
    with pytest.raises(PenstockError) as refused:
        read(path)
    assert said in refused.value.message
    assert str(path) in refused.value.message
    assert str(SHIPPED) in str(refused.value.next_step)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    """Whoever mends a table reads one message."""
    path = tmp_path / OWN
    path.write_text(ONE.replace("0.03", "-1").replace("0.004", "-2").replace('"EUR"', "7"))
    with pytest.raises(PenstockError, match=r"currency.*vcpu_hour.*gb_hour"):
        read(path)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), (b"\xff", "is no TOML")]
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes | None, said: str) -> None:
    """No such file, and one that is no text."""
    path = tmp_path / "table.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PenstockError, match=said):
        read(path)


def test_a_copy_of_the_shipped_table_is_the_same_table(tmp_path: Path) -> None:
    """docs/fit.md says to begin with one."""
    copied: Prices = read(Path(shutil.copyfile(SHIPPED, tmp_path / OWN)))
    assert copied == read(SHIPPED)
