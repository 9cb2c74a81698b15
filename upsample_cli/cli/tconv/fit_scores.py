"""The table of scores that `tconv fit` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from upsample_cli.quality.fit import Score


def print_scores(console: Console, scores: Mapping[str, Score]) -> None:
    """Print a row for each kernel; nothing if there are no scores."""
    from rich.table import Table

    if not scores:
        return
    table = Table("kernel", "PSNR of luma", "SSIM", "over lanczos3")
    for name, score in scores.items():
        gain = score.psnr_db - scores["lanczos3"].psnr_db
        table.add_row(name, f"{score.psnr_db:.2f} dB", f"{score.ssim:.4f}", f"{gain:+.2f} dB")
    console.print(table)
