"""Formats that are read and not written. Each is one module with a function from an open file to a `source.Whole`."""
