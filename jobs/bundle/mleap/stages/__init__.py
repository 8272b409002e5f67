"""Spark's stages as Bundle.ML nodes: one small function a stage (jobs.bundle.table lists them)."""
