"""Fit kernels to photographs, and compare kernels on an image. Both use the same degradation, pieces and scores."""
