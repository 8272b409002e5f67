"""The embedded function host: runs each function revision as a process of its own behind a stable URL."""
