"""Weights of layers, read from files. No file can run code, and the cost of each is bounded before it is read."""
