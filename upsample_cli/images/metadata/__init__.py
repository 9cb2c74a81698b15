"""What an image carries besides its pixels: EXIF, IPTC, profiles, resolution, text."""
