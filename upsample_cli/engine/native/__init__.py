"""The compiled route: its C++ source, and the module `_kernels` built from it, for several instruction sets."""
