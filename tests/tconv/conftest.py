"""Shared by the tests of `tconv`: the end of a command does not end the tests."""

import os

import pytest
from support.environment import leave


@pytest.fixture(autouse=True)
def _leaving_is_an_exception(monkeypatch):
    """With torch imported, the command ends with `os._exit`."""
    monkeypatch.setattr(os, "_exit", leave)
