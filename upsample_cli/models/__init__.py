"""Super-resolution networks of the user's own, from files of weights: read, measured, and run on the bands of images.

Their architectures are those of spandrel. Nothing in a file is executed.
"""

SUFFIXES = (".safetensors", ".pth", ".pt")
"""Extensions of files of weights that can hold a network."""
