"""The stable codes of failures and losses, and their meanings. `docs/failures.md` is generated from them."""

from __future__ import annotations

FAILURES = {
    "usage": "an option or argument that cannot be carried out",
    "geometry": "sizes or layer settings that do not fit together",
    "device": "the device is missing, or cannot do the arithmetic",
    "not-found": "the input does not exist",
    "unreadable": "the input cannot be opened or read",
    "not-an-image": "the input is empty, a folder, a link or a file in an unknown format",
    "unsupported": "the input is valid but uses a feature that is not supported",
    "no-package": "the input needs a package that is not installed",
    "damaged": "the input is damaged or truncated",
    "too-large": "the input is larger than a limit allows",
    "no-memory": "the input does not fit into memory",
    "changed": "the input changed during the run",
    "timeout": "the image took longer than the limit",
    "loss-refused": "a loss that `strict` does not allow",
    "no-kernel": "no kernel suits the image",
    "no-model": "the network of the user's own cannot enlarge the image, or is not one that can be used",
    "no-engine": "the engine that was asked for cannot enlarge the image",
    "cannot-hold": "the output's format cannot hold the enlarged image",
    "exists": "the output exists already",
    "unwritable": "the system refused to write the output",
    "no-space": "the disk or the quota is full",
    "crashed": "the image crashed the process at work on it",
    "killed": "the system killed the process at work on the image",
    "cluster": "the cluster could not enlarge the image",
    "record": "the record of a batch cannot be used",
    "interrupted": "the run was stopped",
    "unexpected": "a fault of this package or of a library",
    "earlier": "the image failed in a run of an older version, which recorded no code",
}
"""The meaning of each failure code. Codes are stable: new ones may be added, and existing ones keep their meaning."""

TRANSIENT = {"changed", "exists", "unwritable", "no-space", "no-memory", "killed", "cluster", "no-package"}
"""Codes of failures whose cause is outside the image, so that another attempt may succeed."""

LOSSES = {
    "alpha": "transparency is removed or becomes on or off",
    "colour": "colours are converted to another space",
    "palette": "colours are reduced in number",
    "depth": "bits per channel are reduced",
    "range": "colour values outside what the output stores are cut off",
    "channels": "channels are left out",
    "frames": "frames or pages are left out",
    "timing": "frames are shown for another time, or an animation is played less often",
    "preview": "the image that is read is a small preview of another",
    "profile": "the colour profile is left out",
    "metadata": "metadata are left out",
    "damage": "a part of the input is damaged or missing, and what can be read of it is used",
    "maker-note": "the camera maker's note moves and may be incomplete",
    "stretched": "the proportion of the image changes",
    "pattern": "the kernel leaves a pattern in even areas",
    "extension": "the output's extension belongs to another kind of PNM",
    "times": "the output does not have the times of its input",
    "rerun": "the output is made again, because it or its input changed",
}
"""The meaning of each code of a loss or remark. They are stable, like the codes of failures."""
