"""`tconv info` for a file of weights: the network in it, and how it can be cut into tiles."""

from __future__ import annotations

from typing import Any

from upsample_cli.batch.record.identity import sha256_of
from upsample_cli.cli.tconv.printing import print_document, print_facts, result_console
from upsample_cli.kernels.choice import network_of
from upsample_cli.kernels.network import Network
from upsample_cli.models.choice import Model, chosen_model


def print_model(path: str, *, as_document: bool) -> None:
    """Print what is known about the network of a file."""
    network = network_of(path)
    if network is not None:
        shown, facts = _network_document(network), _network_facts(network)
    else:
        _, model = chosen_model(path)
        shown, facts = document(model), _model_facts(model)
    if as_document:
        print_document(shown)
    else:
        print_facts(result_console(), path, list(facts.items()))


def _network_facts(network: Network) -> dict[str, str]:
    return {
        "architecture": f"network of whole numbers, for --kernel; {len(network.layers) + 1} layers, one transposed",
        "factor": str(network.factor),
        "channels": "grey and RGB, with or without alpha",
        "parameters": f"{network.parameters:,}",
        "class": f"exact: tiles change no pixel; an output needs {network.halo} input pixels on each side",
        "sha256": sha256_of(network.name) or "",
    }


def _network_document(network: Network) -> dict[str, Any]:
    """The JSON document of a network for `--kernel`, with the keys of `document`."""
    return {
        "input": network.name,
        "architecture": "network of whole numbers",
        "factor": network.factor,
        "channels": None,
        "parameters": network.parameters,
        "class": "exact",
        "tileable": True,
        "reach": network.halo,
        "grid": 1,
        "difference": 0.0,
        "bytes_per_pixel": None,
        "licence": None,
        "sha256": sha256_of(network.name),
    }


def _model_facts(model: Model) -> dict[str, str]:
    return {
        "architecture": model.architecture,
        "factor": str(model.factor),
        "channels": "RGB" if model.channels == 3 else "grey",
        "parameters": f"{model.parameters:,}",
        "class": model.class_text,
        "memory": f"{model.measured.bytes_per_pixel:,} bytes for each input pixel",
        "licence": model.licence or "the file does not name one",
        "sha256": model.sha256,
    }


def document(model: Model) -> dict[str, Any]:
    """The JSON document of a network for `--model`."""
    found = model.measured
    is_tileable = found.kind != "global"
    return {
        "input": model.path,
        "architecture": model.architecture,
        "factor": model.factor,
        "channels": model.channels,
        "parameters": model.parameters,
        "class": found.kind,
        "tileable": is_tileable,
        "reach": found.reach if is_tileable else None,
        "grid": found.grid if is_tileable else None,
        "difference": found.difference if is_tileable else None,
        "bytes_per_pixel": found.bytes_per_pixel,
        "licence": model.licence or None,
        "sha256": model.sha256,
    }
