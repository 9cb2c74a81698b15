"""Metadata of images: EXIF, IPTC, XMP, colour profiles, resolution, text."""
