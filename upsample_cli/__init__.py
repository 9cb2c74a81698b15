"""Enlarge pictures exactly with a bilinear transposed convolution, and work with that layer.

`import upsample_cli` is cheap: torch is imported when a name that needs it is first used.
"""

__version__ = "0.1.0"
