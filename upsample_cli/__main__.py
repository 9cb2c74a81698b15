"""`python -m upsample_cli` is the `upsample` command."""

from upsample_cli.cli.start import upsample

if __name__ == "__main__":
    upsample()
