"""Images in and out: sources decode rows, sinks encode rows. Only this package imports Pillow and tifffile."""
