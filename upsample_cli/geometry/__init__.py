"""Sizes, tiles and alignment of axes and images, in whole numbers. No numpy, no torch."""
