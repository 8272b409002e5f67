"""One way in for others to the functions of a host: paths, keys, limits, one description (docs/gateway.md)."""
