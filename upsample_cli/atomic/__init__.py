"""Whole files or none: written under a temporary name, in folders without planted links, then renamed."""
