"""Apply a transposed convolution to a file: an image, a sound, a signal or a volume."""
