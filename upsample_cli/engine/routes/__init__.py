"""Routes: algorithms that enlarge one padded tile. `select` chooses the fastest that gives the layer's pixels."""
