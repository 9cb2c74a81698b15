"""Which networks can be cut into tiles: measured, and compared with what their layers say."""

from dataclasses import replace

import pytest
import torch
from support import spandrel_networks as networks
from support.spandrel_networks import write_network

from upsample_cli.models import measuring
from upsample_cli.models.choice import chosen_model
from upsample_cli.models.measuring import TOLERANCE, measured

KINDS = {
    networks.esrgan: ("seam-free", 1),
    networks.compact: ("seam-free", 1),
    networks.span: ("seam-free", 1),
    networks.plksr: ("seam-free", 1),
    networks.safmn: ("window grid", 8),
    networks.swinir: ("window grid", 8),
    networks.rcan: ("global", 1),
    networks.omnisr: ("global", 1),
}


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_network_has_the_class_that_its_layers_say(make, tmp_path):
    write_network(tmp_path / "a.pth", make)
    _, model = chosen_model(str(tmp_path / "a.pth"))
    assert (model.measured.kind, model.measured.grid) == KINDS[make]
    assert model.measured.difference <= TOLERANCE


def test_the_reach_of_convolutions_is_the_sum_of_their_radii(tmp_path):
    write_network(tmp_path / "a.pth", networks.compact)
    convolutions = sum(isinstance(part, torch.nn.Conv2d) for part in networks.compact().modules())
    network, model = chosen_model(str(tmp_path / "a.pth"))
    assert model.measured.reach == convolutions == 4
    short = replace(model.measured, reach=3)
    strips = measuring._Strips(network, is_across=True)
    assert strips.difference(model.measured.halo, 1) <= TOLERANCE < strips.difference(short.halo, 1)  # the control


def test_tiles_off_the_grid_differ(tmp_path):
    write_network(tmp_path / "a.pth", networks.swinir)
    network, model = chosen_model(str(tmp_path / "a.pth"))
    strips = measuring._Strips(network, is_across=False)
    assert strips.difference(model.measured.halo, 8) <= TOLERANCE < strips.difference(model.measured.halo + 1, 1)


def test_a_network_whose_outputs_depend_on_values_far_away_is_not_tileable(tmp_path, monkeypatch):
    """Its NaN stay near, and its values do not: only the comparison of tiles with the whole shows it."""
    write_network(tmp_path / "a.pth", networks.compact)
    network, _ = chosen_model(str(tmp_path / "a.pth"))
    plain = network.unclamped
    monkeypatch.setattr(network, "unclamped", lambda image: plain(image) + image.nan_to_num().mean())
    assert measured(network).kind == "global"
