"""Sphinx's settings for the site of `make docs`: the repository's Markdown, with README.md as the start page.

The source folder is the repository, so that relative links work the same on the site and on a code host; a link to a
file that is not a page downloads it. The list of pages in docs/README.md is the navigation.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "saliency-sweep"
html_title = project
extensions = ["myst_nb"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/*.ipynb", "docs/*/*.md", "cluster/*.md", "k8s/**.md"]

nitpicky = True
smartquotes = False
# A block without a language is a command or a file, not Python.
highlight_language = "none"
myst_heading_anchors = 4
# tests/docs runs the notebook; the site shows its stored outputs.
nb_execution_mode = "off"

html_theme = "furo"
html_copy_source = False
html_show_copyright = False
# index.html, which redirects to README.html.
html_extra_path = ["site/root"]
html_static_path = ["site/static"]
html_css_files = ["pages.css"]

CONTENTS = Path(__file__).parent / "README.md"


def navigation(contents: str) -> str:
    """The site's navigation: docs/README.md, and for each of its headings the pages listed there."""
    trees = ["```{toctree}\n:hidden:\nAll pages </docs/README>\n```"]
    for section in contents.split("\n## ")[1:]:
        caption, _, listed = section.partition("\n")
        pages = [f"{title} </docs/{page}>" for title, page in re.findall(r"^- \[([^]]+)\]\(([^)]+)\)", listed, re.M)]
        trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```"]))
    return "\n\n".join(trees)


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the navigation to the start page when it is read, as a code host would show it as code."""
    if name == root_doc:
        source[0] += "\n" + navigation(CONTENTS.read_text())


def setup(app: Sphinx) -> None:
    """Sphinx's entry point."""
    app.connect("source-read", add_navigation)
