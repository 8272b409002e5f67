"""The model as MLServer's users write one: a custom runtime (https://docs.seldon.ai/mlserver/user-guide/custom)."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from model import Model

OUTPUTS = ("prediction", "probability_0", "probability_1")


class Bench(MLModel):
    """Columns in, columns out."""

    async def load(self) -> bool:
        self._model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = self._model.run({each.name: self.decode(each) for each in payload.inputs})
        named = zip(OUTPUTS, outputs, strict=True)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output(name, output) for name, output in named]
        )
