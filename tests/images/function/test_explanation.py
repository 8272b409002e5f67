"""Which features moved an answer: what feature ablation says of models whose answers can be worked out on paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_function import explanation, service
from penstock_function.explanation import Explainer
from penstock_function.package import Package, PackageError
from penstock_function.scorer import Scorer
from penstock_function.service import Service
from tests.images.function.conftest import Client
from tests.images.function.test_openwhisk import init_body, run_body

#: Scores 0.5 + 0.5 + 0.5 + 1 + 1 + 0, where RIGHT scores 1 + 0.5 + 0.25 + 2 + 3 + 1.
REFERENCE = {"carrier": "Zürich ☃", "distance": 0.5, "ratio": 0.5, "seats": 1, "month": 1, "holiday": False}
SCORE = 7.75
#: The score of RIGHT less that with the one feature replaced; `distance` is the reference's own.
MOVED = {"month": 2.0, "seats": 1.0, "holiday": 1.0, "carrier": 0.5, "ratio": -0.25}


def serving(folder: Path) -> Client:
    """The whole app over a package."""
    served = Service()
    served.serve(Package.load(folder))
    return Client(served)


def changes(answer: dict[str, Any]) -> dict[str, float]:
    """The explanation's changes by feature, in its order."""
    return {entry["feature"]: entry["change"] for entry in answer["explanation"]}


def test_a_regression_is_explained_by_its_prediction(
    make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Of a sum, each feature's change is its value less the reference's, the largest first, either sign."""
    client = serving(make_package(task="regression", reference=REFERENCE))
    answer = client.post("/predict?explain=true", json=right).json()
    assert answer["prediction"] == SCORE
    assert changes(answer) == MOVED
    assert [abs(change) for change in changes(answer).values()] == [2.0, 1.0, 1.0, 0.5, 0.25]
    assert answer["explanation"][0] == {"feature": "month", "reference": 1, "change": 2.0}


def test_a_class_is_explained_by_its_own_probability(
    make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """The change is that of the predicted class's probability, whichever class that is."""
    client = serving(make_package(reference=REFERENCE))
    for distance, sign in ((0.5, 1), (-20.0, -1)):
        answer = client.post("/predict?explain=true", json={**right, "distance": distance}).json()
        assert answer["prediction"] == (sign > 0)

        def probability(score: float, sign: int = sign) -> float:
            return 1 / (1 + math.exp(-sign * score))

        score = SCORE - 0.5 + distance
        expected = {name: probability(score) - probability(score - moved) for name, moved in MOVED.items()}
        found = changes(answer)
        assert {name: found[name] for name in MOVED} == pytest.approx(expected, abs=1e-15)


def test_the_answer_is_the_usual_one(make_package: Callable[..., Path], right: dict[str, Any]) -> None:
    """Explained or not, the answer is the same, and `explain=false` is the usual request."""
    client = serving(make_package(reference=REFERENCE))
    usual = client.post("/predict", json=right).json()
    assert client.post("/predict?explain=false", json=right).json() == usual
    assert client.post("/predict?other=1", json=right).json() == usual
    explained = client.post("/predict?explain=true", json=right).json()
    assert {**usual, "explanation": explained["explanation"]} == explained


def test_what_changes_nothing_is_left_out(make_package: Callable[..., Path]) -> None:
    """The reference itself has nothing to explain."""
    client = serving(make_package(reference=REFERENCE))
    assert client.post("/predict?explain=true", json=REFERENCE).json()["explanation"] == []


def test_what_the_model_refuses_is_left_out(make_package: Callable[..., Path], right: dict[str, Any]) -> None:
    """A reference that the model has no answer for (a null carrier) explains by the other features alone."""
    client = serving(make_package(task="regression", reference={**REFERENCE, "carrier": None}))
    answer = client.post("/predict?explain=true", json=right).json()
    assert changes(answer) == {name: change for name, change in MOVED.items() if name != "carrier"}


def test_only_the_first_features_are_told(
    make_package: Callable[..., Path], right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many features those with the largest changes are told."""
    monkeypatch.setattr(explanation, "MAX_FEATURES", 2)
    client = serving(make_package(task="regression", reference=REFERENCE))
    answer = client.post("/predict?explain=true", json=right).json()
    assert list(changes(answer)) == ["month", "seats"]


@pytest.mark.parametrize("body", ["[]", "[{}]", '{"records": []}', "null", "3"])
def test_one_record_alone_is_explained(make_package: Callable[..., Path], body: str) -> None:
    """Anything but one record is a 422 that says so."""
    response = serving(make_package(reference=REFERENCE)).post("/predict?explain=true", content=body)
    assert response.status_code == 422
    assert (
        "expected one record (a JSON object), as answers are explained one by one" in response.json()["error"]
    )


@pytest.mark.parametrize(
    "query", ["explain", "explain=", "explain=1", "explain=true&explain=maybe", "explain=%ff"]
)
def test_a_wrong_question_is_refused(
    make_package: Callable[..., Path], right: dict[str, Any], query: str
) -> None:
    """`explain` is true or false; all else is a 422 that says so."""
    response = serving(make_package(reference=REFERENCE)).post(f"/predict?{query}", json=right)
    assert response.status_code == 422
    assert "expected true or false" in response.json()["error"]


def test_a_wrong_record_is_refused_as_ever(make_package: Callable[..., Path], right: dict[str, Any]) -> None:
    """The faults of a record, and what is no JSON, are told as without `explain`."""
    client = serving(make_package(reference=REFERENCE))
    for content in (b'{"carrier": 1}', b"{", b"\xff"):
        usual = client.post("/predict", content=content)
        response = client.post("/predict?explain=true", content=content)
        assert (response.status_code, response.json()) == (usual.status_code, usual.json())


def test_without_a_package_nothing_is_explained(empty_client: Any) -> None:
    """As long as there is no model, `explain` is a 503 too."""
    assert empty_client.post("/predict?explain=true", json={}).status_code == 503


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"reference": None}, "has no reference row"),
        ({"output": "prediction"}, "classes without their probabilities"),
    ],
)
def test_a_package_that_cannot_be_explained_says_why(
    make_package: Callable[..., Path], right: dict[str, Any], change: dict[str, Any], why: str
) -> None:
    """It serves; `explain` is a 422 with the reason, and the description has no such parameter."""
    client = serving(make_package(**{"reference": REFERENCE, **change}))
    assert client.post("/predict", json=right).status_code == 200
    response = client.post("/predict?explain=true", json=right)
    assert response.status_code == 422
    assert why in response.json()["error"]
    document = client.get("/openapi.json").json()
    assert document["paths"]["/predict"]["post"]["parameters"] == []
    assert "Explained" not in document["components"]["schemas"]


def test_too_many_columns_are_not_explained(
    make_package: Callable[..., Path], right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that are scored for one record are bounded by the columns that a model may have for it."""
    monkeypatch.setattr(explanation, "MAX_COLUMNS", 5)
    response = serving(make_package(reference=REFERENCE)).post("/predict?explain=true", json=right)
    assert response.status_code == 422
    assert "it has 6 columns, at most 5 are explained" in response.json()["error"]


def test_much_work_leaves_the_event_loop(
    make_package: Callable[..., Path], right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that is small, and large as often as it is scored, waits its turn as a large one does."""
    client = serving(make_package(reference=REFERENCE))
    monkeypatch.setattr(service, "MAX_LARGE", 0)
    monkeypatch.setattr(service, "INLINE_BODY", 500)
    assert client.post("/predict", json=right).status_code == 200
    assert client.post("/predict?explain=true", json=right).status_code == 503


@pytest.mark.parametrize("reference", [{}, {**REFERENCE, "month": "May"}, {**REFERENCE, "more": 1}])
def test_a_reference_that_does_not_fit_is_refused(
    make_package: Callable[..., Path], reference: dict[str, Any]
) -> None:
    """A package whose reference row is no record of its model never serves."""
    with pytest.raises(PackageError, match="the reference row is refused: row 0, field"):
        Service().serve(Package.load(make_package(reference=reference)))


def test_the_description_has_it(make_package: Callable[..., Path], right: dict[str, Any]) -> None:
    """OpenAPI describes the parameter, and an explained answer fits its schema and no other."""
    client = serving(make_package(reference=REFERENCE))
    document = client.get("/openapi.json").json()
    post = document["paths"]["/predict"]["post"]
    assert [(given["name"], given["in"]) for given in post["parameters"]] == [("explain", "query")]
    answer = client.post("/predict?explain=true", json=right).json()
    schemas = document["components"]["schemas"]
    jsonschema.validate(answer, {**schemas["Explained"], "components": document["components"]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, {**schemas["One"], "components": document["components"]})


@pytest.mark.parametrize("asked", [True, "true"])
def test_an_activation_is_explained(
    make_package: Callable[..., Path], right: dict[str, Any], asked: object
) -> None:
    """OpenWhisk's value may have `explain` beside the record, as text too: what a web action has of its query."""
    client = serving(make_package(task="regression", reference=REFERENCE))
    client.post("/init", json=init_body())
    answer = client.post("/run", json=run_body({**right, "explain": asked})).json()
    assert changes(answer) == MOVED
    assert "explanation" not in client.post("/run", json=run_body({**right, "explain": False})).json()
    wrong = client.post("/run", json=run_body({**right, "explain": "maybe"})).json()
    assert "expected true or false" in wrong["error"]["message"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    record=st.fixed_dictionaries(
        {
            "carrier": st.sampled_from(["AA", "DL", "Zürich ☃"]),
            "distance": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "ratio": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
            "seats": st.none() | st.integers(-(2**53), 2**53),
            "month": st.none() | st.integers(-(2**31), 2**31 - 1),
            "holiday": st.none() | st.booleans(),
        }
    )
)
def test_a_change_is_what_two_requests_tell(
    make_package: Callable[..., Path], explainers: list[Explainer], record: dict[str, Any]
) -> None:
    """Of any record: each change is the difference of two scores as /predict gives them, and all others are none."""
    if not explainers:
        explainers.append(
            Explainer(Scorer(Package.load(make_package(task="regression", reference=REFERENCE))))
        )
    scorer = explainers[0]._scorer
    found = {entry["feature"]: entry["change"] for entry in explainers[0].explain(record)}
    before = scorer.score([record])[0]["prediction"]
    for name, usual in REFERENCE.items():
        after = scorer.score([{**record, name: usual}])[0]["prediction"]
        if before is None or after is None:
            assert name not in found
        else:
            assert found.get(name, 0.0) == before - after


@pytest.fixture(scope="module")
def explainers() -> list[Explainer]:
    """One explainer for the module, made by the first example."""
    return []
