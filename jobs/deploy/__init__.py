"""Bring the function to the version that passed its gates."""
