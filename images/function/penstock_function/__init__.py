"""The function runtime: serves one proven model package over HTTP, with neither Spark nor MLflow nor Airflow."""
