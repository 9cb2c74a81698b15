"""A transposed convolution applied to a file: an image, a sound, a signal, a volume."""
