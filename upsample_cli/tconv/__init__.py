"""What the `tconv` commands compute. Whatever is only arithmetic imports no torch."""
