"""TIFF: tifffile reads the structure; this package reads and writes strips, tiles and pages."""
