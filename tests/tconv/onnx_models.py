"""ONNX files for tests: small networks as torch exports them, and single nodes."""

import warnings

import torch
from torch import nn
from torch.nn import functional


class UNet(nn.Module):
    """A U-Net of three levels.

    `join` says how a skip connection meets the decoder: "cat", "add", or "cat" after "interpolate", "pad" or "crop".
    With `valid`, convolutions do not pad, and the encoder's side is cropped by a fixed number.
    """

    def __init__(self, join="cat", axes=2, levels=3, valid=0):
        super().__init__()
        conv, self.pool, up = (getattr(nn, f"{name}{axes}d") for name in ("Conv", "MaxPool", "ConvTranspose"))
        self.join, self.pool = join, self.pool(2)
        padding = 0 if valid else 1
        self.crops = valid
        width = 4
        self.down = nn.ModuleList(
            conv(3 if level == 0 else width, width, 3, padding=padding) for level in range(levels)
        )
        self.middle = conv(width, width, 3, padding=padding)
        self.up = nn.ModuleList(up(width, width, 2, stride=2) for _ in range(levels))
        joined = width if join == "add" else 2 * width
        self.after = nn.ModuleList(conv(joined, width, 3, padding=padding) for _ in range(levels))

    def forward(self, x):
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for up, after in zip(self.up, self.after, strict=True):
            x = after(self.meet(up(x), skips.pop()))
        return x

    def meet(self, x, skip):
        if self.join == "add":
            return x + skip
        if self.join == "interpolate":
            x = functional.interpolate(x, size=skip.shape[2:])
        elif self.join == "pad":
            pads = [skip.shape[axis] - x.shape[axis] for axis in range(x.dim() - 1, 1, -1)]
            x = functional.pad(x, [end for pad in pads for end in (pad // 2, pad - pad // 2)])
        elif self.join == "crop":
            skip = skip[:, :, : x.shape[2], : x.shape[3]]
        return torch.cat([x, skip], 1)


def export(model, path, shape, *, dynamic=True):
    """Export a model with any size of its axes, or with the size of `shape` alone."""
    names = {0: "batch", **{2 + axis: f"size{axis}" for axis in range(len(shape) - 2)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and the newer one needs another package
        torch.onnx.export(
            model.eval(),
            (torch.zeros(shape),),
            path,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": names} if dynamic else None,
        )
    return path


def runs(model, sizes):
    """Whether torch runs a model on an input with 3 channels and these sizes."""
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, *sizes))
    except RuntimeError:
        return False
    return True
