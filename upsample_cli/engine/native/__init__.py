"""The compiled route: its C++ source, and the modules that are built from it, one for each kind of processor."""
