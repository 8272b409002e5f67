"""Scores a table in bulk with a registered version's Spark model."""
