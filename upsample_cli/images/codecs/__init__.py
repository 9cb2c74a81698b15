"""One module or package for each file format, and what the formats share."""
