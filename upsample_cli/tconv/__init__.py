"""The computations of the `tconv` commands. Modules that need only arithmetic do not import torch."""
