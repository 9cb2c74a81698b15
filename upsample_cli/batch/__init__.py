"""Many pictures: found, planned, then run, with one result each."""
