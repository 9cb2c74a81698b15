"""Kernels fitted to photographs, and kernels compared on an image: both share degradation, pieces and scores."""
