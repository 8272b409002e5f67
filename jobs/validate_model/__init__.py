"""validate_model: judges a registered version by gates 2 to 6, and writes the report on it."""
