"""The pod side: one folder a stage, started as `python -m jobs.<stage>`; never imports Airflow."""
