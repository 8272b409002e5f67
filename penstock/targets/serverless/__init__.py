"""Knative Serving as a target, and KServe where it stands on Knative."""
