"""Networks as graphs: read ONNX files, compute sizes along their branches, and find the sizes that fit. No torch.

The files are read without the package `onnx`: its parser needs 75 times the size of a hostile file, and numpy.
"""
