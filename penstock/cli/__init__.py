"""The command line: thin commands over the core, each with one answer for people and for programs."""
