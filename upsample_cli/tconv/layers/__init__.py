"""Layers as plain data, parsed from text as PyTorch writes it: sizes, channels, costs and alignment. No torch."""
