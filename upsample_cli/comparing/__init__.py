"""Kernels compared on one picture: `tconv compare`. What brings back most of a picture that was made small."""
