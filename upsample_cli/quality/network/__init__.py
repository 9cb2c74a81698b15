"""Train a small network of whole numbers: a linear kernel, and detail that a trunk of 3x3 convolutions adds."""
