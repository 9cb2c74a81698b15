"""Weights of real layers, read from files; none of them can run code, and each is bounded before it is read."""
