"""docs/methods.md agrees with the code, and Markdown shows docstrings unchanged."""

import inspect
import re

import pytest
from markdown_it import MarkdownIt

from docs.markdown import markdown
from docs.methods import PAGE, describe, main
from trainables.core.departure import Departure
from trainables.datasets import DATASETS, PLACES
from trainables.methods import METHODS, Method

MARKDOWN = MarkdownIt("commonmark").enable(["strikethrough", "table"])


def shown(text: str) -> list[str]:
    """The paragraphs, headings, items and cells of Markdown, each as one line of plain text."""
    blocks = []
    for token in MARKDOWN.parse(text):
        if token.type == "inline":
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "text_special", "code_inline", "softbreak", "link_open", "link_close"}, text
            blocks.append("".join(" " if c.type == "softbreak" else c.content for c in token.children))
    return blocks


def plain(docstring: str) -> list[str]:
    return [" ".join(part.split()).replace("`", "") for part in inspect.cleandoc(docstring).split("\n\n")]


def test_the_table_lists_each_departure_once():
    registered = [(name, registry[name]) for registry in (METHODS, DATASETS) for name in registry.builtin]
    expected = {
        (name, departure.source, departure.here, departure.way_back)
        for name, entry in [*registered, *PLACES.items()]
        for departure in entry.departures
    }
    text = PAGE.read_text().split("## Departures from the sources")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    rows = [[cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {(name, *cells) for who, *cells in rows for name in re.findall("`(.*?)`", who)} == expected
    assert len({tuple(cells) for _, *cells in rows}) == len(rows) > 30
    assert all(map(all, rows)), "a departure names its source, what is done here, and the way back"


def test_the_command_describes_a_method_of_another_package(monkeypatch, capsys):
    departing = type("Departing", (Method,), {"departures": (Departure("sums", "means", "`preset=paper`"),)})
    monkeypatch.setitem(METHODS.builtin, "departing", departing)
    main(["departing", "baseline"])
    printed = capsys.readouterr().out
    assert "| `departing` | sums | means | `preset=paper` |" in printed
    assert "`baseline` |" not in printed


@pytest.mark.parametrize("name", sorted(METHODS.builtin))
class TestEveryMethod:
    def test_its_docstring_has_loss_and_source(self, name):
        loss, *rest = plain(METHODS[name].__doc__)
        assert re.match(r"(Model: )?(CE\(|sum_g q_g · CE_g)", loss), f"the docstring of {name} begins with its loss"
        sources = [part for part in rest if part.startswith("Source: ")]
        assert len(sources) == 1, (
            f"the docstring of {name} needs one paragraph 'Source: …'; its departures go into `departures`"
        )

    def test_markdown_shows_its_docstrings_unchanged(self, name):
        idea = METHODS[name].idea or plain(inspect.getmodule(METHODS[name]).__doc__)[0]
        settings = METHODS[name].Options.model_fields
        expected = [name, idea, *plain(METHODS[name].__doc__)]
        assert shown(describe(name)["section"])[: len(expected)] == expected
        items = [block for block in shown(describe(name)["section"]) if "(default " in block]
        assert items == [f"{k} (default {field.default}): {field.description}" for k, field in settings.items()]


@pytest.mark.parametrize(
    "text",
    [
        "x~_b and x~_c, d* and e*, a _b_ c, `code_*~`, a <b> c, q <- r, [b, c]_0, || h ||_2 | |f|",
        "a sum\n+ b\n- c\n# d\n> e",
        r"a \* b",
    ],
)
def test_markdown_characters_are_escaped(text):
    assert shown(markdown(text)) == plain(text)


def test_a_method_without_docstrings(monkeypatch):
    silent = type("Silent", (Method,), {"__module__": "nowhere"})
    monkeypatch.setitem(METHODS.builtin, "silent", silent)
    described = describe("silent")
    assert (described["section"], described["idea"]) == ("### `silent`\n", "")
    assert set(described["costs"].values()) == {"not measured"}
    assert described["strengths"] == "no penalty"
