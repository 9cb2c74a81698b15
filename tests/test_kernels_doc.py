"""The table in docs/kernels.md shows the stored figures, which agree with the model card."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.fit_kernels import parts
from upsample_cli import upsample
from upsample_cli.kernels.kernel import NETWORKS
from upsample_cli.quality.compare import kernels_for
from upsample_cli.quality.pieces import Part, pieces

ROOT = Path(__file__).parents[1]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate_kernels.py"))
FIGURES = json.loads(GENERATOR["FIGURES"].read_text(encoding="utf-8"))
PAGE = GENERATOR["PAGE"].read_text(encoding="utf-8")


def test_the_page_shows_the_stored_figures():
    assert GENERATOR["page"](FIGURES, PAGE) == PAGE, "run python docs/generate_kernels.py"
    other = json.loads(json.dumps(FIGURES))
    other["scores"]["3"]["bicubic"][0] += 0.01
    assert GENERATOR["page"](other, PAGE) != PAGE


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_every_kernel_and_every_peer_has_its_figures(factor):
    names = {*kernels_for(None, factor, 3), *GENERATOR["PEERS"]}
    assert set(FIGURES["scores"][str(factor)]) == names - set(NETWORKS)
    assert set(FIGURES["times"][str(factor)]) == names
    assert all(time_ms > 0 for time_ms in FIGURES["times"][str(factor)].values())


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_scores_equal_those_of_the_model_card(factor):
    """Different scripts compute both from the same photographs."""
    card = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    heads, row = (
        [cell.strip() for cell in re.search(rf"^\| {start} \|.*$", card, re.MULTILINE)[0].split("|")[2:-1]]
        for start in ("PSNR in dB / SSIM", f"x{factor}")
    )
    shown = {name: tuple(map(float, score.split(" / "))) for name, score in zip(heads, row, strict=True)}
    shown["fitted"] = shown["fitted 7x7"]
    for name in ("nearest", "bilinear", "bicubic", "lanczos3", "fitted"):
        assert tuple(FIGURES["scores"][str(factor)][name]) == shown[name]
    assert shown["fitted"] != shown["fitted 5x5"]


def test_scores_are_of_the_whole_photograph_and_can_be_recomputed():
    """A small photograph is one piece, so this test can recompute the image and score of every contender."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    part = parts(2, ["text.png"])[0]
    part = Part(part.path, part.height, part.width, 0, part.height)
    (piece,) = pieces(part, factor=2, degradation=GENERATOR["DEGRADATION"])
    found = GENERATOR["errors_on"](part, 2, kernels_for(["mitchell", "bicubic-0.75"], 2, 1))
    images = {name: upsample(piece.low, 2, kernel=name) for name in ("mitchell", "bicubic-0.75")}
    images |= {name: peer(piece.low, 2) for name, peer in GENERATOR["PEERS"].items()}
    assert list(found) == list(images)
    for name, image in images.items():
        expected = peak_signal_noise_ratio(piece.high, image, data_range=255)
        assert found[name].psnr_db == pytest.approx(expected, abs=1e-9)  # a sum in another order
    assert len({each.squared for each in found.values()}) == len(found)


@pytest.mark.parametrize("factor", [2, 3])
def test_peers_match_the_kernels_they_are_named_after(factor):
    """One bright pixel gives the same result as our kernel with that formula, apart from rounding between passes."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    pixels = np.full((21, 25), 60, np.uint8)  # without overshoot, which Pillow would clip between its passes
    pixels[9, 11] = 220
    for peer, name in (
        ("Pillow BICUBIC", "bicubic"),
        ("Pillow LANCZOS", "lanczos3"),
        ("OpenCV INTER_CUBIC", "bicubic-0.75"),
    ):
        theirs = GENERATOR["PEERS"][peer](pixels, factor).astype(int)
        assert abs(theirs - upsample(pixels, factor, kernel=name)).max() <= 1
        assert abs(theirs - upsample(pixels, factor, kernel="mitchell")).max() > 5
