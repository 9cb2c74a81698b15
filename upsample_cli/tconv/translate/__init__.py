"""A transposed convolution in the words of another framework, and back."""
