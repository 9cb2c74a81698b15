"""Report a run: console, JSON lines, progress and gallery."""

MAX_GALLERY_IMAGES = 300
"""The most images in a gallery page. They take about 20 MB; a page with ten times as many opens slowly."""
