"""The options of `upsample` about the run: which files, the record, the cluster and the messages."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from upsample_cli.cli.report import MAX_GALLERY_IMAGES

_batch_option = partial(typer.Option, rich_help_panel="Batch")
_messages_option = partial(typer.Option, rich_help_panel="Messages")

Exclude = Annotated[
    list[str] | None,
    _batch_option(
        metavar="PATTERN",
        help="Leave out files and folders that match, as in a .gitignore file: '*.tmp.png', raw/, /top/only, "
        "'**/cache/**', '!keep.png'. Can be repeated; the last one that matches decides.",
    ),
]
Watch = Annotated[
    bool,
    _batch_option("--watch", help="Enlarge new images of a folder as they arrive, until stopped (Ctrl-C)."),
]
State = Annotated[
    str | None,
    _batch_option(
        metavar="PATH",
        help="Record of finished images, with which the same command continues a stopped run. Default: "
        ".upsample.sqlite in the output folder, if that holds only outputs.",
    ),
]
NoState = Annotated[bool, _batch_option("--no-state", help="Do not keep a record.")]
RetryFailed = Annotated[
    bool, _batch_option("--retry-failed", help="Also retry images that failed in an earlier run and have not changed.")
]
CheckContent = Annotated[
    bool,
    _batch_option("--check-content", help="Recognize inputs by a hash of their content, not by size and time."),
]
Cluster = Annotated[
    str | None,
    _batch_option(
        metavar="ADDRESS",
        help="Enlarge on the workers of a Dask cluster. ADDRESS is that of its scheduler, such as tcp://host:8786. The "
        "workers need this package and the same folders.",
    ),
]
AsJson = Annotated[bool, _messages_option("--json", help="Print one JSON document.")]
Report = Annotated[
    str | None,
    _messages_option(
        metavar="FILE.jsonl",
        help="Append a line of JSON for each finished image. A run that is continued appends to the same file; of two "
        "lines about an input the later is valid.",
    ),
]
Gallery = Annotated[
    str | None,
    _messages_option(
        metavar="FILE.html",
        help=f"A page that shows up to {MAX_GALLERY_IMAGES} images before and after, in one file without external "
        "resources.",
    ),
]
Quiet = Annotated[bool, _messages_option("-q", "--quiet", help="Print only errors.")]
Verbose = Annotated[
    bool, _messages_option("-v", "--verbose", help="Print a line for each image, with what computed it.")
]
