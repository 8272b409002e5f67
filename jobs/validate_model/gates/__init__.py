"""The gates on a model, each a pure function of what was seen to a GateResult."""
