"""Plain Kubernetes as a target."""
