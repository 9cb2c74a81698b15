"""A transposed convolution in the words of another framework, and back.

`translate.py` has the two functions and the table of frameworks, and every framework has a module of its own.
"""
