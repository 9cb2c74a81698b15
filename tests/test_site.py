"""Links between pages have targets, and the site contains every page. mkdocs itself runs in .ci/run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "samples" / "README.md"])
MKDOCS = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
AT_THE_ROOT = dict(
    re.findall(r'^    "(\S+\.md)": "(\S+)",$', (ROOT / "docs" / "site_hooks.py").read_text("utf-8"), re.MULTILINE)
)


def broken(page, text):
    """The relative links on a page without a target file."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", prose)
    return [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target_file(page):
    assert not broken(page, page.read_text(encoding="utf-8"))


def test_control_a_broken_link_is_found():
    page = ROOT / "docs" / "index.md"
    text = page.read_text(encoding="utf-8")
    assert broken(page, text.replace("(guide.md)", "(guides.md)")) == ["guides.md"]


def test_the_navigation_has_every_page_once():
    pages = [str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")]
    assert sorted(re.findall(r"^ +- .+: (\S+\.md)$", MKDOCS, re.MULTILINE)) == sorted([*pages, *AT_THE_ROOT.values()])


def test_the_site_has_every_page_of_the_root():
    assert set(AT_THE_ROOT) == {path.name for path in ROOT.glob("*.md")}


def test_the_map_names_every_page():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([^)]+)\)", text))
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert named >= pages - {"index.md"} | {f"../{name}" for name in AT_THE_ROOT}
