"""Apache OpenWhisk as a target."""
