"""The pages of the site: all are in the navigation, and their links are valid without the site."""

import re

import pytest
from support.commands import ROOT

CONTENTS = (ROOT / "docs" / "README.md").read_text()
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs").glob("*.ipynb"),
        *(ROOT / "docs").glob("*/*.md"),
        *(ROOT / "cluster").glob("*.md"),
        *(ROOT / "k8s").rglob("*.md"),
    ]
)


def anchors(text: str) -> set[str]:
    """The names that a code host gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_contents_list_every_page_once():
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\)", CONTENTS, re.MULTILINE)
    paths = [(ROOT / "docs" / target).resolve() for target in listed]
    assert len(set(paths)) == len(paths)
    assert {ROOT / "README.md", ROOT / "docs" / "README.md", *paths} == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if "://" in target:
            continue
        to = (page.parent / target).resolve() if target else page
        assert to.is_file(), f"{target}: a link to a folder works on a code host and not in the site"
        if anchor:
            assert anchor in anchors(to.read_text()), f"{target}#{anchor}"
