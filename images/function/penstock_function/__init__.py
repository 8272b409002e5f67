"""The function runtime: serves one proven model package over HTTP, with neither Spark nor MLflow nor Airflow."""

import os

# ONNX Runtime reads it while it is imported: without it, it reports usage to its makers and writes into the home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
