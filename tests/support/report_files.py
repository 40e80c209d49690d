"""Readers of a report's files that refuse what is not HTML or not JSON."""

import json
from html.parser import HTMLParser

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks nesting while it reads, and keeps images, texts, the widths of table rows and all that would be loaded."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.images, self.loaded, self.words, self.rows = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1
        self.loaded += [attributes[a] for a in ("src", "srcset", "poster", "data") if a in attributes]
        if tag in ("link", "iframe", "object", "embed", "base"):
            self.loaded.append(f"<{tag}>")

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def strict_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)
