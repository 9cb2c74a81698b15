"""The `upsample` command. It parses options and calls `cli.run` or `cli.watch`."""

from __future__ import annotations

import typer

from upsample_cli.cli import error_handler
from upsample_cli.cli import upsample_options as option
from upsample_cli.cli import upsample_run_options as run_option
from upsample_cli.cli.options import APP_SETTINGS
from upsample_cli.cli.program import DEBUG, CommandProgram
from upsample_cli.enlarge.names import DEFAULT_NAME
from upsample_cli.images.limits import DEFAULT_MAX_PIXELS

app = typer.Typer(**APP_SETTINGS)


def main() -> None:
    """Entry point of the `upsample` script."""
    error_handler.run(app, "upsample")


@app.command(no_args_is_help=True, cls=CommandProgram)
def upsample(
    inputs: option.Inputs,
    factor: option.Factor = None,
    size: option.Size = None,
    width: option.Width = None,
    height: option.Height = None,
    fit: option.Fit = None,
    print: option.Print = None,  # noqa: A002  the option has the name of the parameter
    output: option.Output = None,
    recursive: option.Recursive = False,
    overwrite: option.Overwrite = False,
    dry_run: option.DryRun = False,
    _version: option.Version = False,
    format: option.Format = None,  # noqa: A002  the option has the name of the parameter
    quality: option.Quality = None,
    metadata: option.Metadata = "keep",
    dpi: option.Dpi = None,
    keep_times: option.KeepTimes = False,
    name: option.Name = DEFAULT_NAME,
    strict: option.Strict = False,
    kernel: option.Kernel = "bilinear",
    model: option.Model = None,
    border: option.Border = "replicate",
    alpha: option.Alpha = "premultiplied",
    depth: option.Depth = "keep",
    linear_light: option.LinearLight = False,
    frame: option.Frame = None,
    workers: option.Workers = None,
    timeout_s: option.TimeoutS = None,
    device: option.Device = "auto",
    engine: option.Engine = "auto",
    memory_bytes: option.MemoryBytes = None,
    tile: option.Tile = None,
    max_pixels: option.MaxPixels = f"{DEFAULT_MAX_PIXELS // 10**6}M",
    exclude: run_option.Exclude = None,
    watch: run_option.Watch = False,
    state: run_option.State = None,
    no_state: run_option.NoState = False,
    retry_failed: run_option.RetryFailed = False,
    check_content: run_option.CheckContent = False,
    cluster: run_option.Cluster = None,
    as_json: run_option.AsJson = False,
    report: run_option.Report = None,
    gallery: run_option.Gallery = None,
    quiet: run_option.Quiet = False,
    verbose: run_option.Verbose = False,
) -> None:
    """Enlarge images exactly, with a bilinear transposed convolution.

    \b
    Examples:
      upsample photo.jpg                    # photo_x2.jpg, twice as large
      upsample photo.jpg -f 4 -o large.png  # four times, as PNG
      upsample shots/ --fit 3840x2160       # as large as the screen
      upsample shots/ -r -o big/            # a tree, mirrored below big/
      upsample shots/ --dry-run             # what would be done
      upsample --watch scans/ -o big/       # images as they arrive
      curl URL | upsample - > large.jpg     # from a pipe, into one
    """
    given = dict(locals())
    # Imported when a run starts: `--help` does not need these modules, and a watch and a run need different ones.
    from upsample_cli.cli.option_values import field_values
    from upsample_cli.cli.request import Request
    from upsample_cli.current_folder import check_current_folder
    from upsample_cli.enlarge.options import Options

    check_current_folder()
    request = Request(
        options=Options(**field_values(Options, given)),
        **field_values(Request, given | {"debug": DEBUG.is_on}),
    )
    if watch:
        from upsample_cli.cli.watch import watch_upsample as carry_out
    else:
        from upsample_cli.cli.run import run_upsample as carry_out
    raise typer.Exit(carry_out(request))
