"""features: the user's function over the collected sources, checked, split by time and written."""
