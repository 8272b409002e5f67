"""The model as BentoML's users write one (https://docs.bentoml.com/en/latest/build-with-bentoml/services.html)."""

from __future__ import annotations

from typing import Any

import bentoml
from model import Model


@bentoml.service
class Bench:
    """Records in, answers out."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api
    async def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._model.answer(records)
