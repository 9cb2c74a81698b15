"""A hook of mkdocs: pages of the repository's root become pages of the site, and links follow them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "start.md",
    "README.zh-CN.md": "zh/start.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Path in the repository: page of the site. The others are below docs/."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def rewritten(text: str, page: str) -> str:
    """The text of a page, with links to pages of the site; links to other files of the repository become plain text."""
    sources = {site: repository for repository, site in PAGES.items()}
    source = sources.get(page, f"docs/{page}")

    def follow(link: re.Match[str]) -> str:
        mark, label, target, anchor = link.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists():
            return link[0]  # mkdocs reports it
        inside = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
        if not inside:
            return label
        return f"{mark}[{label}]({posixpath.relpath(inside, posixpath.dirname(page))}{anchor})"

    return _LINK.sub(follow, text)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the repository's root."""
    for repository, site in PAGES.items():
        text = (ROOT / repository).read_text(encoding="utf-8")
        files.append(File.generated(config, site, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links of a page to pages of the site."""
    return rewritten(markdown, page.file.src_uri)
