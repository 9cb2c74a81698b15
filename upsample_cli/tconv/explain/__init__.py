"""A small transposed convolution computed in five ways, step by step."""
