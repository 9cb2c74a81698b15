"""Sizes, tiles and alignment of axes, images and tiles, in whole numbers. No numpy, no torch."""
