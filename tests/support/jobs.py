"""Jobs without files, for tests that do not read images."""

from pathlib import Path

from upsample_cli.enlarge.job import Job
from upsample_cli.enlarge.resolve import KernelChoice, Resolved
from upsample_cli.images.model import ImageInfo, Layout


def job_of(
    source,
    output,
    height,
    width,
    *,
    fmt="png",
    source_format="png",
    factor=2,
    layout=None,
    source_layout=None,
    losses=(),
):
    """A job as `plan_job` makes it, for an image that does not exist."""
    read = source_layout or Layout("rgb")
    size = (height * factor, width * factor)
    resolved = Resolved(fmt, read, None, KernelChoice("bilinear", factor), size, losses)
    return Job(Path(source), Path(output), ImageInfo(source_format, height, width, read), resolved)
