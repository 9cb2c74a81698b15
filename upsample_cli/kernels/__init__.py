"""Interpolation kernels as whole weights over one denominator.

Kernels come from formulas (profiles), from the package (shipped) or from weight files.
"""
