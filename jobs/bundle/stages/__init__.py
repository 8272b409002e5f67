"""Spark's stages in ONNX: one small function a stage (jobs.bundle.table lists them)."""
