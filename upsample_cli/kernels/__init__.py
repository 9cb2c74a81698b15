"""Interpolation kernels as whole weights over one denominator.

Profiles, weight files, shipped kernels, and the choice of one.
"""
