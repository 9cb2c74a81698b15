"""One module or package for each file format, and code that several formats share."""
