"""Prints the section of CHANGELOG.md on a tag: `python .ci/release_notes.py v0.1.0`.

The tag must be the version in upsample_cli/version.py, and the section must have a date.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_SECTION = re.compile(r"^## \[([^]]+)\](?: - (\d{4}-\d\d-\d\d))?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def sections(changelog: str) -> list[tuple[str, str, str]]:
    """(version or "Unreleased", date or "", text) of each section, newest first."""
    return [(name, date, text.strip()) for name, date, text in _SECTION.findall(changelog)]


def notes(tag: str, version: str, changelog: str) -> str:
    """The text of the section on a tag.

    Raises:
        SystemExit: if the tag, the version and the newest section do not belong together.
    """
    if tag != f"v{version}":
        raise SystemExit(f"the tag is {tag}, and upsample_cli/version.py has {version}: the tag must be v{version}")
    name, date, text = sections(changelog)[0]
    if name != version or not date or not text:
        raise SystemExit(f"CHANGELOG.md: the newest section must be '## [{version}] - YYYY-MM-DD', with text")
    return text


if __name__ == "__main__":
    _version = runpy.run_path(str(_ROOT / "upsample_cli" / "version.py"))["__version__"]
    print(notes(sys.argv[1], _version, (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
