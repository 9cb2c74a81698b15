"""Batches of images: inputs are found, the whole run is planned, then run, with one result for each input."""
