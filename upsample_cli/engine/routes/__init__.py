"""Ways to compute one padded tile, and the choice of the fastest that gives the layer's pixels."""
