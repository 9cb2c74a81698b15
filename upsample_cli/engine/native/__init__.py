"""The compiled route: its C++ source, and the modules built from it, one for each kind of processor."""
