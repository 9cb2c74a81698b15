"""What a run reports: console, JSON lines, progress and gallery."""

MAX_GALLERY_IMAGES = 300
"""In a page. They take about 20 MB; a page of ten times as many is slow to open."""
