"""register: from a trained model to a function package and exactly one registered version."""
