"""Layers as plain data, parsed from text as PyTorch prints it: sizes, channels, costs and alignment. No torch."""
