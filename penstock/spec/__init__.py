"""The typed declaration of a pipeline: what a data scientist writes."""
