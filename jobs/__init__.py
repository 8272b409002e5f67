"""The pod side: one folder a stage, started as `python -m jobs.<stage>`; never imports Airflow."""

from penstock import telemetry

telemetry.switch_off()  # here, as every job imports this first
