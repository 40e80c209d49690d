"""Sphinx's settings for the site of `make docs`: the repository's Markdown, with README.md as the start page.

The source folder is the repository, so that relative links work on the site as on a code host; a link to a file that is
not a page downloads it.
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


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the navigation, which a code host would show as code, to the start page when it is read.

    It is docs/README.md, and for each of its headings the pages listed there.
    """
    if page == root_doc:
        trees = ["```{toctree}\n:hidden:\nAll pages </docs/README>\n```"]
        for section in (Path(__file__).parent / "README.md").read_text().split("\n## ")[1:]:
            caption, _, listed = section.partition("\n")
            links = re.findall(r"^- \[([^]]+)\]\(([^)]+)\)", listed, re.M)
            pages = [f"{title} </docs/{target}>" for title, target in links]
            trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```"]))
        source[0] += "\n" + "\n\n".join(trees)


def setup(app: Sphinx) -> None:
    """Sphinx's entry point."""
    app.connect("source-read", add_navigation)
