"""Names from a user's table in report.md: a Markdown parser must show them letter by letter, and nothing else."""

import pytest
from markdown_it import MarkdownIt

import analysis
from analysis.report.render import escape_markdown

HOSTILE = (
    "a|b",
    "*bold* **bold** _word_ __init__",
    "<b>bold</b><script>alert(1)</script><!-- x --> </p> <javascript:alert(1)>",
    "`code` ``code``",
    "[x](javascript:alert(1))",
    "![x](http://host/x.png)",
    "[x][y] [y]: javascript:alert(1)",
    "two\n\n# lines\r\n- of text",
    "~~gone~~ &lt;b&gt; &#60; \\*x\\* \\",
    "$\\sqrt{x}$",
    "# heading",
    "> quotation",
    "- item",
    "1. item",
    "--- rule",
    "=== rule",
)
PLAIN = "in words_with_underscores, p < 0.05, ρ = −0.3 [−0.5, 0.1] (4 of 5): R&D, 5 ~ 6, #3"
RUNS = {"html_inline", "html_block", "link_open", "em_open", "s_open", "code_inline", "code_block", "hr"}
"""Parts of a page that a name must not become."""


def parse(text):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [part for token in parser.parse(text) for part in (token, *(token.children or []))]


def shown(text):
    """What a reader sees of it."""
    return "".join(part.content for part in parse(text) if part.type in ("text", "text_special"))


@pytest.mark.parametrize("around", ["{}", "- {}", "- name: {}.", "**{}**", "| {} |\n| --- |\n| {} |"])
@pytest.mark.parametrize("name", [*HOSTILE, PLAIN])
def test_a_name_is_shown_letter_by_letter(name, around):
    kinds = [part.type for part in parse(around.replace("{}", "name"))]
    text = around.replace("{}", escape_markdown(name))
    assert [part.type for part in parse(text) if part.type != "text_special"] == kinds
    assert shown(text) == shown(around.replace("{}", "NAME")).replace("NAME", " ".join(name.split()))


def test_what_is_no_markup_stays_as_it_is():
    assert escape_markdown(PLAIN) == PLAIN


def words(text):
    """Without line breaks, and without underscores, which the report replaces in names."""
    return " ".join(text.replace("_", " ").split())


@pytest.mark.parametrize("start", range(4))
def test_a_report_shows_names_and_runs_nothing(start, make_table, tmp_path, no_figures):
    dataset, method, sweep, source = names = HOSTILE[start::4]
    table = make_table(seeds=5, severities=(1.0,), methods=("baseline", "actdiff", "rrr"))
    table = table.replace({"dataset": {"crosses": dataset}, "method": {"rrr": method}})
    trials = analysis.trials_from_table(table, sweep=sweep, source=source)
    analysis.write_report(analysis.analyse(trials, replicates=100), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert not {part.type for part in parse(text)} & RUNS
    for name in names:
        assert words(name) in words(shown(text))


def test_a_comparison_shows_names_and_runs_nothing(make_table, tmp_path):
    name = "<b>[x](javascript:alert(1))</b>|`x`"
    tables = [make_table(seeds=5, severities=(1.0,), rng=rng) for rng in (0, 1)]
    sides = [analysis.trials_from_table(t, sweep=f"{name} {n}", source="s") for n, t in enumerate(tables)]
    analysis.write_comparison(analysis.compare(*sides), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert not {part.type for part in parse(text)} & RUNS
    assert f"{name} 0" in shown(text)
