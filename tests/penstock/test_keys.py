"""Keys: equal makers give equal keys, any difference another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock import keys
from penstock.results import Input
from penstock.stages import folder_digest
from penstock.work import Item

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
specs = st.dictionaries(st.text(min_size=1), json_values, max_size=4)
inputs = st.dictionaries(st.text(min_size=1), st.text("0123456789abcdef", min_size=4, max_size=8), max_size=3)


def item(**changes: Any) -> Item:
    fields: dict[str, Any] = {
        "spec": {"a": 1}, "inputs": {}, "salt": None, "code": "c", "environment": "e",
    }  # fmt: skip
    return Item.make("train", **{**fields, **changes})


@given(specs, inputs)
def test_order_never_matters(spec: dict[str, Any], given_inputs: dict[str, str]) -> None:
    """The same parts in another order give the same key: a key names content, not how it was written."""
    made = {name: Input(path="p", digest=digest) for name, digest in given_inputs.items()}
    turned = dict(reversed(made.items()))
    assert item(spec=spec, inputs=made).key == item(spec=dict(reversed(spec.items())), inputs=turned).key


@given(specs, specs)
def test_another_spec_is_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Keys are equal exactly where the specs' canonical JSON is."""
    assert (item(spec=one).key == item(spec=other).key) == (keys.digest(one) == keys.digest(other))


@given(st.sampled_from(["code", "environment", "salt"]), st.text(min_size=1).filter(lambda t: t not in "ce"))
def test_every_part_counts(part: str, value: str) -> None:
    """Code, environment and a forced run's salt each make another key."""
    assert item(**{part: value}).key != item().key


def test_inputs_count_by_content_not_by_place() -> None:
    """An input at another path with the same content keeps the key; other content changes it."""
    here = item(inputs={"data": Input(path="a/b", digest="1")})
    assert item(inputs={"data": Input(path="c/d", digest="1")}).key == here.key
    assert item(inputs={"data": Input(path="a/b", digest="2")}).key != here.key


def test_folder_digest_sees_code_but_not_caches_or_spec(tmp_path: Path) -> None:
    """Helpers count, bytecode and pipeline.py do not: a new owner trains nothing anew."""
    folder = tmp_path / "flights"
    folder.mkdir()
    (folder / "model.py").write_text("a = 1")
    (folder / "pipeline.py").write_text("owner = 1")
    before = folder_digest(tmp_path, "flights")
    (folder / "pipeline.py").write_text("owner = 2")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "model.pyc").write_text("x")
    assert folder_digest(tmp_path, "flights") == before
    (folder / "helper.py").write_text("b = 1")
    assert folder_digest(tmp_path, "flights") != before
