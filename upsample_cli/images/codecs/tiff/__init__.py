"""TIFF: tifffile reads its structure, we read and write strips, tiles and pages."""
