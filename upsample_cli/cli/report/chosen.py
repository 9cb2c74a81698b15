"""What a run says before its first pixel: the formats that nobody chose, and how a network can be cut into tiles."""

from __future__ import annotations

from collections.abc import Iterable

from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.names import template_suffix
from upsample_cli.enlarge.options import Options
from upsample_cli.images.formats import FORMATS
from upsample_cli.images.input_formats import READ_ONLY


def chosen_formats(jobs: Iterable[Job], options: Options) -> list[str]:
    """A line for each format of outputs, with the formats of inputs that are not written."""
    if options.format is not None or template_suffix(options.name):
        return []
    found: dict[str, set[str]] = {}
    for job in jobs:
        is_named = job.place is None and job.target_stream is None
        if job.header.format in READ_ONLY and not is_named:
            found.setdefault(FORMATS[job.format].title, set()).add(READ_ONLY[job.header.format].title)
    return [
        f"{', '.join(sorted(read))}: read and not written, so the output is {written}; choose with --format"
        for written, read in sorted(found.items())
    ]


def networks(jobs: Iterable[Job]) -> list[str]:
    """A line for the network that enlarges, with its class."""
    models = dict.fromkeys(job.resolved.model for job in jobs if job.resolved.model is not None)
    return [f"{model.path}: {model.architecture}, {model.factor} times, {model.class_text}" for model in models]
