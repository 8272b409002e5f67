"""OpenWhisk's REST API on the function host, for code that was written for OpenWhisk."""
