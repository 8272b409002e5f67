"""Checks model code and suites without data and without a JVM."""
