"""What can go wrong between a Spark pipeline and its ONNX graph."""

from __future__ import annotations

from penstock.errors import PenstockError, UserCodeError


class BundleError(PenstockError):
    """A saved pipeline cannot be read, or does not fit the function it is wanted for."""

    kind = "bundle"


class UnsupportedStage(UserCodeError):
    """The pipeline holds a stage, or an option of one, that has no ONNX form here."""

    kind = "unsupported-stage"
