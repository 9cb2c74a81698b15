"""Shared by the tests: oracles, generated files, and ways to run the commands."""
