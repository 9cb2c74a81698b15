"""PNG and animated PNG: chunks, rows in and rows out."""
