"""The transposed convolution and everything that computes it: exact arithmetic, bands, routes, devices."""
