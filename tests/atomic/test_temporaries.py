"""A run removes its own temporary files and no others."""

from pathlib import Path

import pytest
from support.running import names

from upsample_cli.atomic.temporaries import remove_temporaries, temporary_path

pytestmark = pytest.mark.usefixtures("in_tmp_path")


def test_only_the_temporary_files_of_a_run_are_removed():
    removed = [temporary_path("a.png", token).name for token in ("0123abcd", "0123abcdef12")]
    kept = [temporary_path("a.png", "89abcdef").name, "0123abcd.part", ".a.png.0123abcd.part.png", "a.0123abcd.part"]
    for name in removed + kept:
        Path(name).touch()
    remove_temporaries([("a.png", "0123abcd"), ("gone/b.png", "0123abcd")])
    assert names(".") == sorted(kept)
