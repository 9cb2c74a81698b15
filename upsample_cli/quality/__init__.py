"""Kernels fitted to photographs, and kernels compared on an image. Both share degradation, pieces and scores."""
