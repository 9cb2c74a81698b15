"""Many images: found, planned, then run, with one result each."""
