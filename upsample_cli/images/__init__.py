"""Read and write images: sources decode rows, sinks encode rows. Only this package imports Pillow and tifffile."""
