"""Sizes, tiles and alignment in whole numbers: what an axis, an image and a tile become. No numpy, no torch."""
