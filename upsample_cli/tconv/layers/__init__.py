"""Layers as plain data: read from the text that PyTorch writes, their sizes, channels and alignment. No torch."""
