"""Images in an OCI registry, without a builder or a daemon."""
