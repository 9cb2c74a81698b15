"""Worker processes: an image that crashes, hangs or exhausts memory fails alone."""
