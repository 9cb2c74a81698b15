"""Translate a transposed convolution to another framework, and back.

`translate.py` has the two functions and the table of frameworks. Each framework has its own module.
"""
