"""The workbench of the transposed convolution: what the `tconv` commands compute. Arithmetic here needs no torch."""
