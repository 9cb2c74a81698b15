"""Kernels fitted to photographs in closed form, and scores that say what they are worth."""
