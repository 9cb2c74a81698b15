"""Files that the system cannot read, from a certain byte on: a failing disk, or a network that is gone."""

import errno
import io
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpus import good_files
from support.running import upsample

from upsample_cli.errors import ImageError
from upsample_cli.images.codecs.readable import readable
from upsample_cli.images.format_table import FORMATS
from upsample_cli.images.open import open_image, probe

GOOD = good_files()
CAUSE = r"^bad: cannot be read \(Input/output error\); check the disk or the network$"


class Failing(io.BytesIO):
    """Raises the error of a failing disk where a byte from `first` on is read."""

    name = "bad"

    def __init__(self, data, first):
        super().__init__(data)
        self.first = first

    def _check(self, end):
        if end > self.first:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, size=-1):
        end = len(self.getvalue()) if size is None or size < 0 else self.tell() + size
        self._check(min(end, len(self.getvalue())))
        return super().read(size)

    def readinto(self, buffer):
        self._check(min(self.tell() + len(buffer), len(self.getvalue())))
        return super().readinto(buffer)


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_cannot_be_read_is_named_in_one_line(name):
    with pytest.raises(ImageError, match=CAUSE) as raised:
        probe(Failing(GOOD[name], 0))
    assert raised.value.failure.kind == "unreadable"
    probe(Failing(GOOD[name], len(GOOD[name])))  # the control


@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("name", GOOD)
@given(share=st.floats(0, 1, exclude_max=True))
def test_at_whatever_byte_it_fails_the_message_is_the_same(name, share):
    data = GOOD[name]
    message = None
    try:
        with open_image(Failing(data, int(share * len(data)))) as source:
            source.read_rows(0, source.info.height)
    except ImageError as error:
        message = str(error)
    assert message is None or re.match(CAUSE, message)  # some decoders do not need the last bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system has no file of this kind")
@pytest.mark.usefixtures("in_tmp_path")
def test_a_folder_goes_on_after_a_file_that_cannot_be_read():
    Path("in").mkdir()
    Path("in/bad.png").symlink_to("/proc/self/mem")  # its first bytes cannot be read
    Path("in/good.png").write_bytes(GOOD["png full"])
    ended = upsample("in", "-o", "out")
    assert ended.status == 1
    assert ended.errors == ["in/bad.png: cannot be read (Input/output error); check the disk or the network"]
    assert [path.name for path in Path("out").glob("*.png")] == ["good_x2.png"]


@pytest.mark.parametrize(("error", "expected"), [(ImportError, ImportError), (ValueError, ImageError)])
def test_a_broken_installation_is_not_a_damaged_file(error, expected):
    with pytest.raises(expected), readable("a.png", FORMATS["png"]):
        raise error("no such module")
