"""The transposed convolution and the code that computes it: exact arithmetic, bands, routes, devices."""
