"""Decisions that images with the same header share: bounded memory, and threads that plan at the same time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upsample_cli.enlarge import planning as module
from upsample_cli.enlarge.by_header import ByHeader
from upsample_cli.enlarge.options import Options
from upsample_cli.enlarge.planning import resolved_and_checked
from upsample_cli.images.formats import format_of_path
from upsample_cli.images.model import ColourSpace, ImageInfo, Layout, Metadata

INFO = ImageInfo("png", 20, 30, Layout("rgb"))
LARGE = bytes(1 << 20)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(module, "_known", ByHeader())
    return lambda: len(module._known._known)


def decide(metadata=Metadata(), *, info=INFO):  # noqa: B008  it is frozen
    return resolved_and_checked(Path("a.png"), info, metadata, format_of_path("o.png"), Options(), Path("o.png"))


@pytest.mark.parametrize(
    "large",
    [
        *({name: LARGE} for name in ("icc_profile", "exif", "xmp", "iptc")),
        {"text": (("Comment", LARGE.decode()),)},
        {"text": ((LARGE.decode(), ""),)},
        {"colour": ColourSpace(mastering=((b"mDCV", LARGE),))},
    ],
    ids=lambda large: str(list(large)),
)
def test_large_metadata_are_not_kept_for_other_images(large, known):
    first, again = (decide(Metadata(**large)) for _ in range(2))
    assert first == again
    assert known() == 0
    small = decide(Metadata(exif=bytes(1000), text=(("Comment", "short"),)))  # the control
    assert decide(Metadata(exif=bytes(1000), text=(("Comment", "short"),))) is small
    assert known() == 1


def test_another_thread_may_forget_all_decisions_at_any_moment(monkeypatch):
    decide()

    def trace(frame, _event, _argument):
        if frame.f_code is ByHeader.get.__code__:
            module._known._known.clear()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = [decide(), decide(info=ImageInfo("png", 2, 3, Layout("rgb")))]
    finally:
        sys.settrace(before)
    assert [made.size for made in found] == [(40, 60), (4, 6)]
