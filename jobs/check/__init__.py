"""Checks model code, suites and steps without data and without a JVM."""
